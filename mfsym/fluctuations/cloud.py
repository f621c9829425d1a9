"""`fluctuation`: what one cloud will do, to leading order, from its neurons at the start.

A cloud of m neurons is its own noise. In a block with harmonics Y it puts m^{-1/2} Σ_i δ_{θ_i} Y(ω_i) on the angles of each
sign, less the mean in block (0, 0). With the functions q_j of `sources` that is a noise with the numbers

    ξ_{jε} = √(2/m) Σ_{i of sign ε} q_j(θ_i) Y(ω_i).

The block answers them linearly, and by the addition theorem Σ_Y Y(ω) Y(ω') = copies · P_{ℓ_H}(ω_H·ω_H') P_{ℓ_⊥}(ω_⊥·ω_⊥')
one form Ξ = Σ_Y ξξᵀ is enough for all of its harmonics:

    m E(f_m − f)² ≈ passive + Σ_blocks Σ_n (M_nᵀ Ξ M_n − s_nᵀ Ξ s_n),

where `passive` is m E(f̃_m − f)² of the same neurons moved along the mean flow alone, in closed form. (Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, is_traced
from ..neurons import Particles
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import BlockFeatures, Blocks, Powers, block_features, blocks_of
from ..solution import Solution
from ..types import Checked, IntLike
from .budget import check_defect, checked_degree, checked_run, features_of
from .panels import Panels, panels_of
from .passive import correlation
from .paths import HIGHEST, Course, course_of
from .response import respond
from .sources import Sources

_ROWS = 16  # neurons whose products with all others are held at a time
_SIZE = 1e-4  # relative, of |a| and ‖b‖ against those of the run


class Neurons(eqx.Module):
    """Neurons of a cloud at the start: signs ε and angles [m], unit vectors along H and H^⊥ [m, ·]."""

    sign: Float[Array, " m"]
    theta: Float[Array, " m"]
    inside: Float[Array, "m h"]
    outside: Float[Array, "m k"]


def fluctuation(run: Checked[Solution], cloud: Checked[Particles], *, degree: IntLike = 12) -> Float[Array, " T"]:
    """E(f_m − f_∞)² [T] that this very cloud will have, to leading order in 1/m, at the times of the run. No cloud is moved.

    Its mean over starts is C/m of `mf.error_budget`. Beside a trained network it is a control variate: what the two have in
    common is known exactly, and what is left falls like m^{-3/2}.

    Arguments:
      run: as for `mf.error_budget`.
      cloud: m neurons at the start of the run, |a| = ‖b‖ as there; any directions and signs, drawn however, in pairs too.
      degree: highest degree of the harmonics that answer; those above are moved all the same.

    Memory grows as m·degree²·40. Raises ArgumentError for runs that `mf.error_budget` refuses, and for clouds that are no
    sample of the start of the run. (Derived.)
    """
    run = checked_run(run)
    panels, degree = panels_of(run.ts), checked_degree(degree, run.model)
    neurons = _checked_cloud(cloud, run)
    found, defect = _fluctuation(run, panels, blocks_of(run.model, degree), degree, neurons)
    check_defect(defect)
    return found / len(neurons.sign)


def _checked_cloud(cloud: object, run: Solution) -> Neurons:
    """The neurons of a cloud with the sizes that labels of the run have."""
    reduction: AngleReduction = run.model
    cloud = check_instance("cloud", cloud, Particles, "Pass mf.Particles, for example of mf.sphere_cloud.")
    dim = reduction.known_dim()
    if cloud.b.shape[1] != dim:
        raise argument_error("cloud", f"in d = {dim}, as the run", cloud.b.shape, "Draw it for the problem of the run.")
    length = jnp.linalg.norm(cloud.b, axis=1)
    masses = 2 * jnp.sum(jnp.exp(run.states.log_weight[0]), axis=1)
    wanted = jnp.sqrt(jnp.where(cloud.a > 0, masses[0], masses[1]))
    worst = jnp.max(jnp.maximum(jnp.abs(jnp.abs(cloud.a) / wanted - 1), jnp.abs(length / wanted - 1)))
    if not is_traced(worst) and not float(worst) < _SIZE:
        got = Words(f"one with |a| or ‖b‖ off by a factor {1 + float(worst):.3g}")
        remedy = "Draw it from the start of the problem: mf.sphere_cloud for the default one."
        raise argument_error("cloud", "of neurons with |a| = ‖b‖ as in the run at time 0", got, remedy)
    inside, outside = reduction.parts(cloud.b)
    inside = jnp.ones_like(inside[:, :1]) if reduction.signed else inside / jnp.linalg.norm(inside, axis=1, keepdims=True)
    outside = outside / jnp.linalg.norm(outside, axis=1, keepdims=True)
    return Neurons(jnp.sign(cloud.a), reduction.angles_of(cloud.b)[:, 0], inside, outside)


@eqx.filter_jit
def _fluctuation(run: Solution, panels: Panels, blocks: Blocks, degree: int, neurons: Neurons) -> tuple[Array, Array]:
    """m E(f_m − f_∞)² [T], and the defect of the record."""
    reduction: AngleReduction = run.model
    course = course_of(reduction, run.states.theta, run.states.log_weight, panels)
    rows, sources = block_features(reduction, blocks, degree), Sources.of(reduction, course, degree, "each")
    passive, forms = _of_neurons(reduction, course, sources, rows, blocks, degree, neurons)
    tables = Powers.of(course.paths.theta, degree)
    charge = course.labels.sign[None, None] * course.paths.mass

    def answer(given: tuple[BlockFeatures, Array]) -> Float[Array, "P p"]:
        block, form = given
        features, noise = features_of(block, tables, 2), sources.noise(block)
        heard = jnp.matmul(charge[:, :, None] * features[0], noise, precision=HIGHEST)
        moments = respond(course.labels, course.paths, block, features, heard, lambda path, phi, found: found.moments)
        return _form(moments, form) - _form(heard, form)

    return passive + panels.join(jnp.sum(jax.lax.map(answer, (rows, forms)), axis=0)), course.defect


def _form(moments: Float[Array, "P p n S"], form: Float[Array, "S S"]) -> Float[Array, "P p"]:
    return jnp.einsum("Ppns,Ppns->Pp", jnp.matmul(moments, form, precision=HIGHEST), moments, precision=HIGHEST)


def _of_neurons(
    reduction: AngleReduction,
    course: Course,
    sources: Sources,
    rows: BlockFeatures,
    blocks: Blocks,
    degree: int,
    neurons: Neurons,
) -> tuple[Float[Array, " T"], Float[Array, "B S S"]]:
    """m E(f̃_m − f)² of the neurons moved by the mean flow, and Ξ of every block: both from products of all pairs."""
    count, (theta, weight) = len(neurons.sign), _moved(course, reduction.nodes, neurons)
    numbers = jax.lax.map(lambda block: sources.numbers(block, Powers.of(neurons.theta, degree)), rows)  # q_j [B, m, j]
    chosen = (neurons.sign[:, None] == jnp.array([1.0, -1.0])[None]).astype(theta.dtype) * np.sqrt(2 / count)
    numbers = jnp.einsum("bmj,me->bmje", numbers, chosen).reshape(len(blocks), count, -1)
    cosine, sine, orders = jnp.cos(theta), jnp.sin(theta), np.array(blocks)

    def row(i):
        within, across = neurons.inside @ neurons.inside[i], neurons.outside @ neurons.outside[i]
        along = zonal(within, reduction.dim_h, degree)[orders[:, 0]]
        both = along * zonal(across, reduction.dim - reduction.dim_h, degree)[orders[:, 1]]
        angle = cosine[:, i, None] * cosine * within[None] + sine[:, i, None] * sine * across[None]
        alike = correlation(reduction, jnp.arccos(jnp.clip(angle, -1, 1)))[0]
        pairs = weight[:, i] * jnp.sum(alike * weight, axis=1)
        return pairs, jnp.einsum("bm,bms->bs", both, numbers, precision=HIGHEST)

    pairs, seen = jax.lax.map(row, jnp.arange(count), batch_size=_ROWS)
    forms = rows.copies[:, None, None] * jnp.einsum("bms,mbt->bst", numbers, seen, precision=HIGHEST)
    mean = jnp.repeat(sources.mean(jax.tree.map(lambda leaf: leaf[0], rows)), 2) * np.sqrt(count / 2)
    excess = jnp.sum(numbers[0], axis=0) - mean
    forms = forms.at[0].set(excess[:, None] * excess[None])
    network = jnp.sum(course.halves, axis=1)
    crossed = jax.lax.map(lambda at: _network_at(reduction, *at), (network, theta, weight))
    passive = jnp.sum(pairs, axis=0) / count - 2 * crossed + count * jnp.sum(network**2, axis=1)
    return passive, forms


def _network_at(reduction: AngleReduction, network: Float[Array, " M"], theta: Float[Array, " m"], weight) -> Array:
    """Σ_i w_i E[σ(u_i·x) f(x)]."""
    values = jnp.matmul(reduction.factors * network, reduction.features(theta)[0], precision=HIGHEST)
    return jnp.sum(weight * values)


def _moved(course: Course, nodes: int, neurons: Neurons) -> tuple[Float[Array, "T m"], Float[Array, "T m"]]:
    """Angles and signed masses of the neurons along the mean flow: by cubics in the start, between labels whose derivatives
    J and Λ in it are known."""
    join, paths = course.panels.join, course.paths
    start = paths.theta[0, 0, :nodes]
    left = jnp.clip(jnp.searchsorted(start, neurons.theta) - 1, 0, nodes - 2)
    width = start[left + 1] - start[left]
    s = (neurons.theta - start[left]) / width
    label = left + jnp.where(neurons.sign > 0, 0, nodes)
    values = (1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s)
    slopes = width * s * (1 - s) ** 2, width * s**2 * (s - 1)

    def between(value, slope):
        ends = [
            v[None] * value[:, at] + d[None] * slope[:, at]
            for v, d, at in zip(values, slopes, (label, label + 1), strict=True)
        ]
        return ends[0] + ends[1]

    theta = between(join(paths.theta), join(paths.stretch))
    return theta, neurons.sign[None] * jnp.exp(between(jnp.log(join(paths.mass)), join(paths.growth)))


def zonal(x: Float[Array, "..."], dim: Float[Array, ""], degree: int) -> Float[Array, "K ..."]:
    """P_ℓ(x), ℓ = 0 … degree: zonal harmonics of the sphere of R^n, 1 at x = 1.

    (ℓ + n − 2) P_{ℓ+1} = (2ℓ + n − 2) x P_ℓ − ℓ P_{ℓ−1}.
    """
    found = [jnp.ones_like(x), x]
    for n in range(1, degree):
        last = jnp.maximum(n + dim - 2, 1)  # on a line there is nothing above degree 1
        found.append(((2 * n + dim - 2) * x * found[-1] - n * found[-2]) / last)
    return jnp.stack(found[: degree + 1])
