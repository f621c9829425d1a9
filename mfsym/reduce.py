"""`mf.reduce`: from a problem to the smallest equation that its declared structure leaves."""

import math

import equinox as eqx

from .errors import argument_error, check_choice, check_floating, check_instance, no_reduction
from .problem.problem import Problem
from .problem.rotated import unrotated
from .problem.targets import FunctionTarget
from .reduced.base import AbstractReduction
from .reduced.build import build_reduction, check_one_output, prefers_moments
from .symmetry.detect import detect
from .types import DTypeLike, RealLike


def reduce(
    problem: Problem,
    *,
    cells: int | tuple[int, ...] | None = None,
    nodes: int | tuple[int, ...] | None = None,
    modes: int | None = None,
    structure: str | None = None,
    dtype: DTypeLike | None = None,
    dim: RealLike | None = None,
) -> AbstractReduction:
    """The reduced equation of a problem with a declared symmetry.

    A target scale·‖x_H‖ or g(‖x_H‖) leaves one angle θ ∈ [0, π/2], cos θ = ‖b_H‖/‖b‖; a target g(x_1) or w·x leaves the
    signed angle θ ∈ [0, π] to its axis; with H the whole space no angle is left. Norms of several blocks (BlockNorms) and
    functions of several coordinates (MultiIndex) leave up to three angles. For an odd target and symmetric inputs the
    network is linear, f(x) = w·x, and an ODE for the second moments of the neurons is left; for a two-layer linear
    network this needs no symmetry. (Hajjar & Chizat 2022.) Gaussian inputs may have one scale for every block of the target
    and one for what it ignores (`GaussianBlocks`), which in several angles only method="characteristics" of
    `solve_reduced` can hold; so it is with a start that is not balanced.

    Any other unit a σ(b·x + β) (`Neuron`, GELU, SiLU) and any other loss leave weighted labels (a, q, β) of neurons, q the
    kept coordinates and norms of blocks of b, under a cubature of those of x: the same gradient flow with the unit averaged
    over directions. There are up to four blocks, of which a target declares at most three coordinates.

    A `FunctionTarget` without a declared parity is first looked at by `mf.detect`, which evaluates it on fixed points and
    goes on with the structure that it finds, where that passes its tests on values; run `mf.detect` yourself to see the
    evidence and its power. Under jit, grad and vmap this is not possible: state the structure, or reduce with
    `report.target`. `Rotated(target, rotation)` states it in rotated coordinates.

    Arguments:
      cells: cells of the grid (default 200 on [0, π/2], 400 on [0, π]; 48 × 64 or 20 × 24 × 24 in several angles), one
        number or one per angle. Where they are given, a grid is the default method of `solve_reduced`.
      nodes: labels per sign for the method of characteristics, an odd number (default 127 on [0, π/2], 255 on [0, π]; in
        several angles one number or one per angle, default 31 in two, 15 in three); for other units and losses labels per
        angle, with which all rules grow (default 48 in two blocks, 12 in three, 6 in four).
      modes: even harmonics in the dynamics (default: the fewest that leave out 1e-7 of K(0, 0), at most 128); twice as
        many are kept for the risk and for the error estimate.
      structure: "odd" asks for the moment equation where an angle would be taken too (`LinearTarget`, an odd
        `SingleIndex`), "angle" for the angle, "orbits" for neurons by labels where either is there too; by default an angle
        where there is one, and the moments for `FunctionTarget(fn, parity="odd")`, full covariances, data sets and Gaussian
        starts.
      dtype: floating type of the reduction.
      dim: jnp.inf for the limit d → ∞ of Gaussian inputs, by labels: coordinates and blocks of the target stay as they are,
        and of all others a Gaussian is left, b_⊥·x_⊥ → ‖b_⊥‖ g. A direction that is uniform at time 0 has no part in H then.
        Differences to finite d are O(1/d). Such a run has no inputs to predict at, and no clouds.

    Returns a reduction whose arrays are leaves: `reduce` and `solve_reduced` are one function of the problem's arrays,
    to be differentiated, vmapped and stacked. Raises NoReductionError, saying why, if there is no reduced equation.
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    structure = None if structure is None else check_choice("structure", structure, ("odd", "angle", "orbits"))
    check_one_output(problem)
    limit = _check_limit(dim, structure)
    if limit:
        return build_reduction(_stated(problem), cells, nodes, modes, "orbits", check_floating(dtype), limit)
    problem = problem if structure == "odd" or prefers_moments(problem) else _stated(problem)
    return build_reduction(problem, cells, nodes, modes, structure, check_floating(dtype), limit)


def _check_limit(dim: RealLike | None, structure: str | None) -> bool:
    """Whether the limit d → ∞ is asked for."""
    if dim is None:
        return False
    if not isinstance(dim, float) or dim != math.inf:
        raise argument_error("dim", "jnp.inf, or left out", dim, "A finite dimension is that of the inputs.")
    if structure not in (None, "orbits"):
        raise argument_error(
            "structure", 'left out or "orbits" where dim=jnp.inf', structure, "Labels alone have this limit."
        )
    return True


def _stated(problem: Problem) -> Problem:
    """The problem with a target that declares its structure, found by detection if the user has not said it."""
    own, inputs = unrotated(problem.target), problem.inputs
    says_nothing = isinstance(own, FunctionTarget) and own.parity is None
    if not says_nothing or not inputs.rotation_invariant:
        return problem
    report = detect(problem.target, inputs)
    if report.target.parity != "odd" and report.target.subspace(problem.dim) is None:
        raise no_reduction(
            f"no class of targets with a reduced equation fits what was detected ({report.sentence()[:-1]})",
            "State the structure of the target if you know more, or use `solve_particles`, which needs no symmetry.",
        )
    return eqx.tree_at(lambda p: p.target, problem, report.target)
