"""`relaxation`: how fast noisy training comes to its equilibrium, block by block, and how fast in a frozen potential.

Near the equilibrium q^ε let δτ^ε = M^ε q^ε h^ε Y_H Y_⊥ in a block, m = Σ ε M^ε ∫ q^ε φ h^ε. The free energy is quadratic
there, and falls as it dissipates,

    E = β Σ M ∫ q h² + |m|²,   D = Σ M ∫ q |∇(βh + εφ·m)|²,   |∇f|² = f'² + (L_H/cos²θ + L_⊥/sin²θ) f²,   dE/dt = −2D:

perturbations decay like e^{−rate t}, rate the smallest D/E. The Poincaré gap of q^ε is the same without m: that of
neurons in a potential that does not answer. (Derived.)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ..errors import argument_error, check_instance, check_integer, check_sequence, is_traced
from ..reduced.line.isotypic import Jet, Powers, block_features, evaluate, harmonics_count, orthonormal_functions
from ..types import Checked
from .stationary import Equilibrium

_FUNCTIONS = 40  # of the angle for either sign
_DEPENDENT = 1e-6  # singular values below this share of the largest are directions that the law does not see
_BLOCKS = "They are pairs of degrees (l_H, l_perp) of harmonics; on a signed angle (0, l)."


class BlockRates(NamedTuple):
    """In one block: the Poincaré gaps of both laws times the temperature, and the rate of the interacting dynamics."""

    block: tuple[int, int]
    gap_plus: float
    gap_minus: float
    rate: float


class Relaxation(NamedTuple):
    """What `mf.relaxation` returns: a row for every block, and the `temperature` β.

    Gaps and rates are per unit of flow time; divided by β they belong to the laws alone.
    """

    temperature: float
    rows: tuple[BlockRates, ...]

    @property
    def slowest(self) -> BlockRates:
        """The block that comes last."""
        return min(self.rows, key=lambda row: row.rate)

    def __str__(self) -> str:
        head = f"Relaxation at temperature {self.temperature:g}, e^(−rate t); the gaps are those in a frozen potential"
        lines = [f"{'block':>10} {'gap a > 0':>12} {'gap a < 0':>12} {'rate':>12}"]
        lines += [f"{r.block!s:>10} {r.gap_plus:12.6g} {r.gap_minus:12.6g} {r.rate:12.6g}" for r in self.rows]
        return "\n".join([head, *lines])


def relaxation(
    equilibrium: Equilibrium, *, blocks: Checked[tuple[tuple[int, int], ...]] = ((0, 0), (1, 0), (0, 1))
) -> Relaxation:
    """Rates at which noisy training relaxes to an equilibrium, in blocks (ℓ_H, ℓ_⊥) of harmonics of the directions.

    In block (0, 0) are perturbations that keep the symmetry, in (1, 0) and (0, 1) those along one direction of H and of H^⊥;
    on a signed angle blocks are (0, ℓ). The Poincaré gap is what neurons have in a frozen potential. It is no bound:
    attraction between them slows a block down, repulsion speeds it up.

    Arguments: an `mf.equilibrium`; the blocks. Returns a `Relaxation`; print it. Computed on the host, in double precision.
    Raises ArgumentError for a block that the dimensions do not have, or a traced equilibrium. (Derived; checked against the
    relaxation of particles.)
    """
    eq = check_instance("equilibrium", equilibrium, Equilibrium, "Pass what mf.equilibrium returned.")
    if any(is_traced(leaf) for leaf in jax.tree.leaves(eq)) or eq.risk.ndim:
        raise argument_error("equilibrium", "a single one, outside of jit", eq.risk, "Rates are computed on the host.")
    pairs = [_checked_block(pair, eq) for pair in check_sequence("blocks", blocks, "pairs of degrees", _BLOCKS)]
    if not pairs:
        raise argument_error("blocks", "at least one pair of degrees", blocks, _BLOCKS)
    return Relaxation(float(eq.gibbs.temperature), tuple(_rates(eq, pair) for pair in pairs))


def _checked_block(pair: object, eq: Equilibrium) -> tuple[int, int]:
    degrees = check_sequence("blocks", pair, "pairs of degrees", _BLOCKS)
    if len(degrees) != 2:
        raise argument_error("blocks", "pairs of degrees", pair, _BLOCKS)
    ell_h, ell_p = (check_integer("blocks", degree, 0, _BLOCKS) for degree in degrees)
    absent = eq.reduction.signed and ell_h > 0
    if absent or harmonics_count(eq.dims[0], ell_h) * harmonics_count(eq.dims[1], ell_p) == 0:
        raise argument_error("blocks", "degrees of harmonics that these dimensions have", pair, _BLOCKS)
    return ell_h, ell_p


def _rates(eq: Equilibrium, block: tuple[int, int]) -> BlockRates:
    """The smallest eigenvalues of one block."""
    masses, beta = np.asarray(eq.gibbs.masses, float), float(eq.gibbs.temperature)
    functions, features, casimir, shares = jax.tree.map(lambda leaf: np.asarray(leaf, float), _tables(eq, block))
    theta = np.asarray(eq.gibbs.theta, float)
    angular = casimir[0] / np.cos(theta) ** 2 + casimir[1] / np.sin(theta) ** 2
    signs = [_sign(share, each, features, angular, block == (0, 0)) for share, each in zip(shares, functions, strict=True)]
    there = [i for i in (0, 1) if masses[i] > 0]
    rate = _joint_rate([signs[i] for i in there], masses[there], np.array([1, -1])[there], beta)
    return BlockRates(block, beta * signs[0].smallest(), beta * signs[1].smallest(), rate)


@eqx.filter_jit
def _tables(eq: Equilibrium, block: tuple[int, int]) -> tuple[tuple[Jet, Jet], Jet, jax.Array, jax.Array]:
    """Functions of a block times √q for either sign, its features, all with slopes; (L_H, L_⊥), and q at the nodes."""
    reduction, theta, shares = eq.reduction, eq.gibbs.theta, eq.gibbs.shares(eq.force)
    highest = sum(block) + sum(block) % 2
    rows = block_features(reduction, (block,), max(2 * (reduction.modes - 1), highest, 2))
    row = jax.tree.map(lambda leaf: leaf[0], rows)
    tables = Powers.of(theta, max(*block, 1))
    functions = [orthonormal_functions(reduction, row.powers, tables, jnp.sqrt(q), _FUNCTIONS)[:2] for q in shares]
    return (functions[0], functions[1]), evaluate(row, tables, 2), row.casimir, shares


class _Sign(NamedTuple):
    """Perturbations of one law at its nodes, times √q: functions h [n, J] orthonormal for q and features φ [n, M], with
    slopes; `angular` L_H/cos² + L_⊥/sin²."""

    functions: tuple[np.ndarray, np.ndarray]
    features: tuple[np.ndarray, np.ndarray]
    angular: np.ndarray

    @property
    def answers(self) -> np.ndarray:
        """∫ q φ h [M, J]."""
        return self.features[0].T @ self.functions[0]

    def energy(self, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """∫ q ∇f_i·∇f_j of functions with these values and slopes [n, I], times √q."""
        return slopes.T @ slopes + values.T @ (self.angular[:, None] * values)

    def smallest(self) -> float:
        """The Poincaré gap."""
        return float(scipy.linalg.eigvalsh(self.energy(*self.functions), subset_by_index=(0, 0))[0])


def _sign(share: np.ndarray, functions, features, angular: np.ndarray, constant: bool) -> _Sign:
    """Functions made orthonormal for q, those that it does not see left out, and the `constant` where masses are kept."""
    root = np.sqrt(share)
    values, slopes = (each.T for each in functions)
    if constant:
        values, slopes = values[:, 1:] - np.outer(root, root @ values[:, 1:]), slopes[:, 1:]
    scale = np.linalg.norm(values, axis=0)
    _, sizes, right = np.linalg.svd(values / scale, full_matrices=False)
    seen = sizes > _DEPENDENT * sizes[0]
    into = (right[seen] / sizes[seen, None]).T / scale[:, None]
    known = tuple(root[:, None] * each.T for each in features)
    return _Sign((values @ into, slopes @ into), (known[0], known[1]), angular)


def _joint_rate(signs: list[_Sign], masses: np.ndarray, marks: np.ndarray, beta: float) -> float:
    """The smallest D/E over perturbations of the laws that have a mass, with marks ε = ±1."""
    counts = [sign.functions[0].shape[1] for sign in signs]
    answers = np.concatenate([e * m * s.answers for e, m, s in zip(marks, masses, signs, strict=True)], axis=1)
    stored = np.diag(np.repeat(beta * masses, counts)) + answers.T @ answers
    dissipated = np.zeros_like(stored)
    for i, (mark, mass, sign) in enumerate(zip(marks, masses, signs, strict=True)):
        values, slopes = (mark * each @ answers for each in sign.features)
        own = slice(sum(counts[:i]), sum(counts[: i + 1]))
        values[:, own] += beta * sign.functions[0]
        slopes[:, own] += beta * sign.functions[1]
        dissipated += mass * sign.energy(values, slopes)
    return float(scipy.linalg.eigh(dissipated, stored, eigvals_only=True, subset_by_index=(0, 0))[0])
