"""`stability`: which steps a network stands, and how far the flow amplifies what breaks its symmetry, by block.

The Gauss–Newton part of the Hessian of the risk is in a block the kernel of its response at equal times,

    Θ_nm(t) = Σ_labels μ c [φ_n φ_m (2 + L_H/cos²θ + L_⊥/sin²θ) + φ_n' φ_m'] = Σ_labels μ (U_n · W_m)(t, t),

and gradient descent with step η stands there while η λ_max(Θ) < 2. The rest of the Hessian goes with the residual.
(Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, is_traced
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import BlockFeatures, Blocks, Powers, block_features, blocks_of
from ..solution import Solution
from ..types import Checked, IntLike
from .budget import check_defect, checked_degree, checked_run, features_of
from .panels import Panels, panels_of
from .paths import HIGHEST, course_of
from .response import kernel_factors, respond
from .sources import Sources

_SHOWN = 6  # blocks on the card


class Stability(eqx.Module):
    """Of every block (ℓ_H, ℓ_⊥) of `blocks` at the times `ts` [T], each [B, T].

    - `sharpness` λ_max of the Gauss–Newton part of the Hessian: a step η is stable in the block while η λ_max < 2. What the
      residual and a weight decay add is left out, so that it is exact where the risk goes to 0.
    - `amplification` E M²(t)/E M²(0) of the fluctuations of a random start, and `worst`, the largest M²(t) after a
      perturbation of the labels of norm 1 over the largest M²(0).
    """

    ts: Float[Array, " T"]
    sharpness: Float[Array, "B T"]
    amplification: Float[Array, "B T"]
    worst: Float[Array, "B T"]
    blocks: Blocks = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    @property
    def critical_step(self) -> Float[Array, " T"]:
        """The step [T] above which the sharpest block of each time is unstable, 2/λ_max, in flow time."""
        return 2 / jnp.max(self.sharpness, axis=0)

    @property
    def sharpest(self) -> tuple[int, int]:
        """The block whose sharpness is largest over the run. Where that is not (0, 0), steps above the critical one break
        the symmetry of the network: the reduced run, which cannot, is wrong and looks fine."""
        if is_traced(self.sharpness):
            raise argument_error("stability", "known outside of jit", self.sharpness, "Read its array `sharpness` there.")
        return self.blocks[int(np.argmax(np.max(np.asarray(self.sharpness), axis=1)))]

    def __repr__(self) -> str:
        if any(is_traced(leaf) for leaf in jax.tree.leaves(self)) or self.ts.ndim != 1:
            return f"Stability(degree={self.degree}, traced or batched)"
        return _card(self)


def stability(run: Checked[Solution], *, degree: IntLike = 12) -> Stability:
    """Critical steps and amplification of perturbations along an infinite-width run, by blocks of harmonics.

    Arguments: `run` as for `mf.error_budget`; `degree`, the highest degree of the harmonics.
    Returns a `Stability`; print it. Raises ArgumentError where `mf.error_budget` does.
    """
    run = checked_run(run)
    panels, degree = panels_of(run.ts), checked_degree(degree, run.model)
    found, defect = _stability(run, panels, blocks_of(run.model, degree), degree)
    check_defect(defect)
    return found


@eqx.filter_jit
def _stability(run: Solution, panels: Panels, blocks: Blocks, degree: int) -> tuple[Stability, Array]:
    """The report, and the defect of the record."""
    reduction: AngleReduction = run.model
    course = course_of(reduction, run.states.theta, run.states.log_weight, panels)
    sources, tables = Sources.of(reduction, course, degree, "balanced"), Powers.of(course.paths.theta, degree)
    charge = course.labels.sign[None, None] * course.paths.mass

    def answer(block: BlockFeatures) -> tuple[Array, Array]:
        features = features_of(block, tables, 2)
        heard = jnp.matmul(charge[:, :, None] * features[0], sources.noise(block), precision=HIGHEST)

        def observe(path, phi, response):
            outer, inner = kernel_factors(course.labels, path, block, phi, inside=False)
            outer = outer * course.labels.share[None, None, None]
            curvature = jnp.einsum("pnal,pmal->pnm", outer, inner, precision=HIGHEST)
            return curvature, jnp.einsum("pns,pms->pnm", response.moments, response.moments, precision=HIGHEST)

        return respond(course.labels, course.paths, block, features, heard, observe)

    found = jax.lax.map(answer, block_features(reduction, blocks, degree))
    curvature, square = (jax.vmap(panels.join)(each) for each in found)
    total, worst = jnp.trace(square, axis1=-2, axis2=-1), jnp.linalg.eigvalsh(square)[..., -1]
    sharpness = jnp.linalg.eigvalsh(curvature)[..., -1]
    report = Stability(run.ts, sharpness, total / total[:, :1], worst / worst[:, :1], blocks, degree)
    return report, course.defect


def _card(found: Stability) -> str:
    """The report as text."""
    times = [0, len(found.ts) // 2, -1]
    head = f"Stability along the run, harmonics up to degree {found.degree}; steps in flow time, stable while η λ < 2"
    order = np.argsort(-np.max(np.asarray(found.sharpness), axis=1))[:_SHOWN]
    names = [f"{name} t={float(found.ts[t]):.3g}" for name in ("λ", "amplified", "worst") for t in times]
    rows = [head, " ".join(f"{name:>17}" for name in ["block", *names])]
    for b in order:
        values = [each[b, t] for each in (found.sharpness, found.amplification, found.worst) for t in times]
        rows.append(" ".join([f"{found.blocks[b]!s:>17}", *(f"{float(value):17.5g}" for value in values)]))
    steps = np.asarray(found.critical_step)
    rows.append(f"critical step {steps.min():.4g}, at the end {steps[-1]:.4g}; sharpest block {found.sharpest}")
    return "\n".join(rows)
