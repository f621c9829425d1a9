"""The one call: which laws, how many, and whether these are all."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..errors import Words, argument_error, check_integer, check_key
from ..types import Checked, IntLike, KeyLike
from .counting import LawCount, count_laws
from .families import FAMILIES
from .fields import Apply, check_apply, check_precision, space_of
from .laws import Law, check_law_like
from .linear_symmetries import LinearSymmetries, leaves_of, random_gradients, symmetries
from .lists import lines_of
from .ranks import rank_of

_FULL = 40  # parameters up to which every linear field is tried
_MOST = 4000  # unknowns


class Discovery(NamedTuple):
    """What training cannot change. It prints as a sentence and the list of laws.

    - `laws`, independent and readable; `count`, how many there are; `complete`, whether every law is a function of these:
      True, False, or None where the count is undecided. `symmetries`, where the laws were found.
    """

    laws: tuple[Law, ...]
    count: LawCount
    complete: bool | None
    symmetries: LinearSymmetries

    def sentence(self) -> str:
        """The verdict."""
        count, listed = self.count, len(self.laws)
        gap = "" if np.isinf(count.gap) else f", singular gap {count.gap:.0e}"
        if self.complete is None:
            return (
                f"{count.parameters} parameters; {listed} independent conserved quantities of degree 2 or less. Undecided "
                f"whether there are more: ranks {count.levels}{gap}. Pass more inputs, or of another scale."
            )
        head = f"{count.parameters} parameters; {count.generic} independent conserved quantities for every data set and loss"
        tail = f"(ranks {', '.join(map(str, count.levels))}{gap})"
        if self.complete:
            which = "the listed charges of linear symmetries are all of them" if listed else "there is nothing to list"
            return f"{head}: {which} {tail}.{self._special()}"
        more = count.generic - listed
        where = "has no degree up to 2" if self.symmetries.family == "full" else "no matrices on axes and slices show"
        there = f"there {'is 1 more, which' if more == 1 else f'are {more} more, which'} {where}"
        return f"{head}, of which {listed} are listed; {there} {tail}.{self._special()}"

    def _special(self) -> str:
        if self.count.laws == self.count.generic:
            return ""
        return f" At the given parameters, which are special, there are {self.count.laws}."

    def __str__(self) -> str:
        return "\n".join([self.sentence(), *(f"  {line.text}" for line in lines_of([law.name for law in self.laws]))])


def discover(apply: Apply, params: PyTree, inputs: PyTree, *, points: IntLike = 2, key: KeyLike | None = None) -> Discovery:
    """Find the laws of a network, count how many there are, and say whether those found are all.

    Rescalings are looked for first, then matrices on axes, and on slices of stacked arrays, then, for 40 parameters at most,
    any linear field; the count stops where the laws that were found exhaust it. Arguments as in `count_laws`. Float64 only.
    Hundreds of parameters take seconds, those with stacked arrays minutes.
    """
    space = space_of(params)
    check_precision(space.point.dtype, None)
    check_apply(apply, params, inputs)
    number = check_integer("points", points, 1)
    key = check_key(jax.random.key(0) if key is None else key)
    stacked = any(len(leaf.shape) > 2 for leaf in leaves_of(params))
    families = ["diagonal", "axes", *(["slices"] if stacked else []), *(["full"] if space.dim <= _FULL else [])]
    families = [name for name in families if FAMILIES[name](leaves_of(params), True).unknowns <= _MOST]
    found, count = None, None
    for family in families:
        more = symmetries(apply, params, inputs, family=family, key=key)
        if found is not None and more.independent_laws == found.independent_laws and family != families[-1]:
            continue
        found = more if found is None or family == "full" or more.independent_laws > found.independent_laws else found
        deepest = 6 if family == families[-1] else 1  # deep brackets are dear: first look for what would spare them
        known = found.independent_laws
        count = count_laws(apply, params, inputs, known=known, points=number, max_level=deepest, key=key)
        if count.decided and count.generic == known:
            break
    if found is None or count is None:
        remedy = "Use a smaller copy of the architecture: symmetries and laws do not depend on widths."
        raise argument_error("params", f"at most {_MOST // 2} parameters", Words(f"{space.dim}"), remedy)
    complete = None if not count.decided else count.generic == found.independent_laws
    return Discovery(found.laws, count, complete, found)


class LawCheck(NamedTuple):
    """`defect`: the largest |⟨∇h, χ⟩| / (‖∇h‖‖χ‖) over random parameters, inputs and directions χ of training, for all
    parts; `rank`, how many parts are independent; `holds`, whether the defect is rounding."""

    defect: float
    rank: int
    holds: bool


def check_law(
    law: Checked[Law], apply: Apply, params: PyTree, inputs: PyTree, *, samples: IntLike = 32, key: KeyLike | None = None
) -> LawCheck:
    """Whether a law holds for a network, at random parameters with the sizes of `params`, on random inputs out of
    `inputs`."""
    law = check_law_like(law)
    space = space_of(params)
    check_apply(apply, params, inputs)
    count = check_integer("samples", samples, 1)
    key = check_key(jax.random.key(1) if key is None else key)
    gradients, thetas = random_gradients(apply, space, inputs, count, 8, key)

    def parts(theta):
        return jnp.ravel(law(space.unravel(theta)))

    rows = np.asarray(jax.lax.map(jax.jacrev(parts), jnp.asarray(thetas, space.point.dtype)), float)
    sizes = np.linalg.norm(rows, axis=2)
    cosines = np.abs(np.einsum("spd,sd->sp", rows, gradients)) / np.where(sizes > 0, sizes, 1)
    defect = float(np.max(cosines, initial=0.0))
    limit = float(np.sqrt(np.finfo(np.asarray(space.point).dtype).eps))
    return LawCheck(defect, rank_of(rows[0], 1e-8).rank, defect < limit)
