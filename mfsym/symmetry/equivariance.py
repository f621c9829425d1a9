"""Whether a unit is equivariant under an action: measured at random neurons and inputs, before anything relies on it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer, positive_number
from ..groups import Action
from ..problem.units import AbstractUnit
from ..products import with_all_digits
from ..types import Checked, Cloud, IntLike, RealLike

_SHARE = 2 / 3  # of the digits, to which a defect of rounding must vanish: 4e-11 in double precision, 2e-5 in single


class EquivarianceReport(eqx.Module):
    """How far a unit is from σ*(ρ(g)x; M(g)z) = ρ̂(g) σ*(x; z). It prints as a sentence.

    - `defect`: root mean square of the difference over that of σ*(x; z), at the worst of the elements that were tried.
    - `element` [k, k]: that element. `place`: its place among the generators and, after them, the random elements.
    - `generators`: how many of those that were tried are generators. `defects` [q]: the defect at every one of them.
    """

    defect: float = eqx.field(static=True)
    element: Float[np.ndarray, "k k"]
    place: int = eqx.field(static=True)
    generators: int = eqx.field(static=True)
    defects: Float[np.ndarray, " q"]

    @property
    def name(self) -> str:
        """What the worst element is."""
        if self.place < self.generators:
            return f"generator {self.place}"
        return f"random element {self.place - self.generators}"

    @property
    def holds(self) -> bool:
        """Whether the defect is one of rounding."""
        return self.defect <= float(np.finfo(self.defects.dtype).eps) ** _SHARE

    def __repr__(self) -> str:
        if self.holds:
            return f"equivariant to {self.defect:.1e} under {len(self.defects)} elements"
        return f"not equivariant: {self.worst}"

    @property
    def worst(self) -> str:
        """The size of the defect, and the element where it is."""
        rows = np.array2string(np.round(self.element, 4) + 0.0, separator=", ", max_line_width=1000, threshold=64)
        return f"a defect of {self.defect:.2g} under {self.name}, {' '.join(rows.split())}"


def equivariance_defect(
    unit: Checked[AbstractUnit],
    action: Checked[Action],
    *,
    samples: IntLike = 256,
    elements: IntLike = 8,
    scale: RealLike = 1.0,
) -> EquivarianceReport:
    """How far a unit is from being equivariant under an action, with the element that shows it.

    The largest (E|σ*(ρ(g)x; M(g)z) − ρ̂(g)σ*(x; z)|² / E|σ*(x; z)|²)^{1/2} over all generators g of the group and some random
    elements, for entries of x and z that are independent N(0, scale²).

    Arguments: `samples` pairs (x, z) and `elements` random elements, all from one fixed seed.
    Returns an `EquivarianceReport`; data augmentation, feature averaging and equivariant architectures by M ask for one
    with `holds`. Raises ArgumentError where the arguments are of other kinds.
    """
    check_instance("unit", unit, AbstractUnit, "Pass problem.unit.")
    check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
    samples = check_integer("samples", samples, 1, "It is the number of neurons and inputs.")
    elements = check_integer("elements", elements, 0, "It is the number of random elements.")
    scale = positive_number("scale", scale, "It is the standard deviation of the entries.")
    generators, drawn = action.group.components, np.random.default_rng(0)
    tried = jnp.concatenate([generators, action.group.sample(jax.random.key(0), elements).astype(generators.dtype)])
    if not len(tried):
        raise argument_error("elements", "at least 1 for a connected group", elements, "It has no generators to try.")
    shapes = (action.shapes(scale.dtype), jax.ShapeDtypeStruct((action.inputs.size,), scale.dtype))
    cloud, x = jax.tree.map(
        lambda shape: scale * jnp.asarray(drawn.standard_normal((samples, *shape.shape)), shape.dtype), shapes
    )
    defects = np.asarray(_defects(unit, action, tried, cloud, x))
    place = int(np.argmax(np.where(np.isnan(defects), np.inf, defects)))
    return EquivarianceReport(float(defects[place]), np.asarray(tried[place]), place, len(generators), defects)


def check_equivariant(unit: AbstractUnit, action: Action) -> None:
    """Raise ArgumentError, naming the worst element, unless a unit is equivariant under an action to rounding."""
    report = equivariance_defect(unit, action)
    if not report.holds:
        expected = "one under which the unit is equivariant, σ*(ρx; Mz) = ρ̂ σ*(x; z)"
        remedy = "Pointwise activations commute with permutations, odd ones with signed ones: choose other representations."
        raise argument_error("action", expected, Words(f"one with {report.worst}"), remedy)


@eqx.filter_jit
def _defects(
    unit: AbstractUnit,
    action: Action,
    tried: Float[Array, "q k k"],
    cloud: Cloud,
    x: Float[Array, "n d"],
) -> Float[Array, " q"]:
    of_neurons = jax.vmap(with_all_digits(unit))
    outputs = of_neurons(cloud, x)
    size = jnp.sum(outputs**2)

    def defect(element: Float[Array, "k k"]) -> Float[Array, ""]:
        images = of_neurons(action.move(element, cloud), action.move_input(element, x))
        return jnp.sqrt(jnp.sum((images - action.move_output(element, outputs)) ** 2) / jnp.where(size > 0, size, 1))

    return jax.lax.map(defect, tried)
