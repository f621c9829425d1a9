"""`mf.detect`: from a bare function to the symmetries that it has."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import check_instance, check_is
from ..problem.functions import check_scalar_function
from ..problem.inputs import AbstractInputs, AbstractIsotropicInputs
from ..problem.targets import AbstractTarget, FunctionTarget
from ..types import RealFunction
from .evaluation import Evidence, Sampled, check_concrete
from .frame import Frame, find_frames
from .norms import NormFit, fit_norms, search_norms
from .report import DetectionReport
from .rotations import Blocks, find_blocks, seen_by_norm, whole_rotation
from .stated import Structure, stated_target
from .subspace import Subspace, find_subspace


class Parts(NamedTuple):
    """What f* sees of H: axes, the sizes of blocks, whether by their norms alone, and the weights of a sum of norms."""

    frame: Frame
    sizes: tuple[int, ...]
    block_radial: bool
    weights: tuple[float, ...] | None


def detect(fn: RealFunction | AbstractTarget, inputs: AbstractInputs) -> DetectionReport:
    """Find the structure of a function f* of inputs with a rotation-invariant law, by evaluating it on fixed points.

    Looks for the subspace H that f* depends on (singular values of gradients, and the normals of surfaces where it jumps;
    slopes over wide neighbourhoods where f* is noisy), for the parity, for rotations of H or of blocks of it that leave f*
    as it is, for sign flips and swaps of coordinates of H, and for sums of block norms. Nothing is believed that was not
    measured on values: f*(x) is compared with f* at a point with the same x_H and all else drawn again, and with
    s f*(Tx) for every symmetry that is claimed. Each claim has its defect E(f*(Tx) − s f*(x))²/2Var f* on independent draws
    of the law that did not serve to find it, the standard error, and a threshold: the machine epsilon for a function without
    noise (10⁻⁴ in single precision beside jumps), 1.5 times what noise gives for one with noise. What no draw met is not
    seen: `rarest` is the share of the inputs on which a violation would have been, in 95 of 100 cases (2 of 10⁴ without
    noise, up to d = 256).

    Arguments: `fn` a function of one input [d] that returns a scalar (integers are taken as numbers), or a target; `inputs`
    a Gaussian or a Sphere.
    Returns a DetectionReport, which prints as a sentence, with `target`, a stated target to go on with. Where no subspace
    passes its test, the report says that it cannot tell, and states none.
    Raises ArgumentError for another law or a function that is not finite, and NoReductionError under a trace.
    (Derived; gradient outer products after Samarov 1993, Constantine 2015.)
    """
    check_instance("inputs", inputs, AbstractInputs, "Use mf.Gaussian or mf.Sphere.")
    check_concrete(fn, inputs)
    expected = "a law that every rotation leaves as it is (Gaussian, Sphere)"
    law = check_is("inputs", inputs, AbstractIsotropicInputs, expected, "State the structure of the target instead.")
    target = fn if isinstance(fn, AbstractTarget) else FunctionTarget(fn)
    target.check(inputs.dim)
    check_scalar_function("fn", target, jax.ShapeDtypeStruct((inputs.dim,), jnp.result_type(float)))
    sampled = Sampled(target, law)
    if sampled.variance <= sampled.eps * sampled.mean_square:
        return _constant(target, sampled)
    subspace = find_subspace(sampled)
    accepted, rejected = [], []

    def judge(evidence: Evidence) -> bool:
        (accepted if evidence.holds else rejected).append(evidence)
        return evidence.holds

    verified = judge(subspace.evidence)
    basis = subspace.basis if verified else np.eye(sampled.dim)
    allowance = subspace.allowance if verified else 0.0
    even = judge(sampled.compare("f* is even", -sampled.draws))
    parity = "even" if even else ("odd" if judge(sampled.compare("f* is odd", -sampled.draws, -1.0)) else None)
    parts = _radial(sampled, basis, allowance, judge)
    if parts is None:
        parts = _inside(sampled, subspace, judge) if verified else _nothing(basis)
    frame, blocks, block_radial, weights = parts
    structure = Structure(frame.basis, parity, blocks, block_radial, weights)
    return DetectionReport(
        dim=sampled.dim,
        basis=frame.basis,
        singular_values=subspace.singular_values,
        threshold=subspace.threshold,
        gap=subspace.gap,
        parity=parity,
        radial=block_radial and len(blocks) == 1,
        block_radial=block_radial,
        blocks=blocks,
        weights=weights,
        flips=frame.flips,
        swaps=frame.swaps,
        noise=float(np.sqrt(sampled.noise)) if sampled.noisy else 0.0,
        evidence=tuple(accepted),
        rejected=tuple(rejected),
        verified=verified,
        target=stated_target(target, structure),
    )


def _radial(sampled: Sampled, basis: np.ndarray, allowance: float, judge: Callable[[Evidence], bool]) -> Parts | None:
    """The structure of a function of ‖x_H‖, or None."""
    if not judge(whole_rotation(sampled, basis, allowance)):
        return None
    fit = fit_norms(sampled, [basis], allowance)
    flips = ((0, 1),) if len(basis) == 1 else ()
    weights = fit.weights if judge(fit.evidence) else None
    return Parts(Frame(basis, flips, (), ()), (len(basis),), True, weights)


def _inside(sampled: Sampled, subspace: Subspace, judge: Callable[[Evidence], bool]) -> Parts:
    """Blocks, sign flips and swaps inside H, in the frame that shows most of them."""
    allowance = subspace.allowance
    found = _blocks(sampled, subspace)
    rotated = sorted(found.rotated, key=len)
    options: list[tuple[Frame, NormFit | None]] = []
    for frame in find_frames(sampled, found.rest, subspace.derivative, allowance):
        blocks = [*(row[None] for row in frame.basis), *rotated]
        radial = frame.even_everywhere and len(blocks) > 1
        options.append((frame, fit_norms(sampled, blocks, allowance) if radial else None))
    frame, fit = next((each for each in options if each[1] is not None and each[1].evidence.holds), options[0])
    for evidence in (*found.evidence, *frame.evidence):
        judge(evidence)
    weights = fit.weights if fit is not None and judge(fit.evidence) else None
    whole = Frame(np.concatenate([frame.basis, *rotated]), frame.flips, frame.swaps, frame.evidence)
    sizes = (1,) * len(frame.basis) + tuple(len(block) for block in rotated)
    return Parts(whole, sizes, frame.even_everywhere, weights)


def _blocks(sampled: Sampled, subspace: Subspace) -> Blocks:
    """Parts of H that f* sees by their norms: from the derivative, or of a sum of norms where noise hides it."""
    if not sampled.noisy:
        return find_blocks(sampled, subspace.basis, subspace.derivative, subspace.allowance)
    parts = search_norms(sampled, subspace.basis, subspace.allowance) or [subspace.basis]
    wide = [part for part in parts if 1 < len(part) < len(subspace.basis)]
    turns = [seen_by_norm(sampled, part, subspace.allowance) for part in wide]
    if not all(each.holds for each in turns):
        return Blocks((), subspace.basis, ())
    narrow = [part for part in parts if not any(part is each for each in wide)]
    return Blocks(tuple(wide), np.concatenate(narrow), tuple(turns))


def _nothing(basis: np.ndarray) -> Parts:
    """Every direction on its own."""
    return Parts(Frame(basis, (), (), ()), (1,) * len(basis), False, None)


def _constant(target: AbstractTarget, sampled: Sampled) -> DetectionReport:
    nothing, none = np.zeros((0, sampled.dim)), np.zeros(0)
    structure = Structure(nothing, "even", (), True, None)
    stated = stated_target(target, structure)
    flat = sampled.evidence("f* is constant", sampled.drawn - sampled.drawn[0])
    return DetectionReport(
        sampled.dim, nothing, none, 0.0, float("inf"), "even", True, True, (), None, (), (), 0.0, (flat,), (), True, stated
    )
