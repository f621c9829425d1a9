"""Finite volumes for the pair (τ⁺, τ⁻) on a grid of angles: conservative, high-order, non-negative without clipping.

In every cell a polynomial with the right cell means is evaluated at the four Gauss–Lobatto points. Where one of these
values, or what the outflow would leave behind, is negative, the polynomial is pulled towards its cell mean (Zhang & Shu
2010). An Euler step of at most `largest_step` then keeps every cell mean non-negative, and so does a
strong-stability-preserving Runge–Kutta method with its own multiple of that step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..integrate import AbstractDynamics
from .quotient import AngleReduction, grid

REACTION = 2.0  # c' = 2 ε c G: both a and ‖b‖ grow at rate ε G
OUTFLOW_SHARE = 1.0 / 4.0  # of its mean, what a cell may lose through each face in one Euler step
_SIGNS = np.array([[1.0], [-1.0]])
_LOBATTO = np.array([-0.5, -0.5 / np.sqrt(5), 0.5 / np.sqrt(5), 0.5])
LOBATTO_WEIGHTS = np.array([1, 5, 5, 1]) / 12
_HIGHEST = jax.lax.Precision.HIGHEST


def reconstruction_stencil(half_width: int) -> np.ndarray:
    """Values [4, 2·half_width+1] at the Lobatto points of the polynomial with given means in the cells of the stencil."""
    return _LOBATTO[:, None] ** np.arange(2 * half_width + 1) @ _polynomials(half_width)


def _polynomials(half_width: int) -> np.ndarray:
    """Coefficients (power, cell of the stencil) of the polynomial with given means; the centre cell is [−½, ½]."""
    offsets = np.arange(-half_width, half_width + 1)
    powers = np.arange(2 * half_width + 1)
    upper, lower = ((offsets[:, None] + side) ** (powers + 1.0) / (powers + 1) for side in (0.5, -0.5))
    return np.linalg.inv(upper - lower)


def lobatto_points(cells: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Lobatto points [4, cells] of equal cells of [0, end] and their weights [4] (host)."""
    cell = end / cells
    return grid(cells, end)[0] + cell * _LOBATTO[:, None], cell * LOBATTO_WEIGHTS


class _Tables(eqx.Module):
    """Everything that is fixed during a run: features at faces and Lobatto points, and linear functionals of cell means."""

    potential: Float[Array, "M points"]
    moments: Float[Array, "M cells"]
    all_moments: Float[Array, "K cells"]
    averages: Float[Array, "3 cells"]


class Pace(eqx.Module):
    """Training of layers that stay balanced: time runs `rate` times as fast, and with weight decay λ masses c decay,
    c' = 2 rate c (ε G − λ), θ' = ε rate V. (Derived.)"""

    rate: Float[Array, ""]
    weight_decay: Float[Array, ""]

    @property
    def loss(self) -> Float[Array, ""]:
        """2λ, the rate at which weight decay takes mass."""
        return REACTION * self.weight_decay


class GridDynamics(AbstractDynamics):
    """∂_t τ^± = ∓∂_θ(V τ^±) ± 2Gτ^± for the cell means of the densities, [2, cells].

    `half_width` is 2 for the fifth-order scheme and 0 for first-order upwind.
    """

    reduction: AngleReduction
    half_width: int = eqx.field(static=True)
    limited: bool = eqx.field(static=True, default=True)
    tables: _Tables | None = None
    pace: Pace | None = None

    def prepare(self):
        """Tables of features and functionals."""
        reduction, cells = self.reduction, self.reduction.cells
        points, _ = lobatto_points(cells, reduction.end)
        angles = np.concatenate([grid(cells, reduction.end)[1], points[1], points[2]])
        values, slopes = reduction.features(jnp.asarray(angles, reduction.dtype))
        faces, *inner = jnp.split(values, [cells + 1, 2 * cells + 1], axis=1)
        all_moments = self._functionals(jnp.stack([faces[:, :-1], *inner, faces[:, 1:]], axis=1))
        slopes = slopes[:, : cells + 1].at[:, (0, -1)].set(0.0)  # V = 0 at both ends by symmetry: no flux
        squares = np.stack([np.cos(points) ** 2, points**2, (reduction.end - points) ** 2])
        averages = self._functionals(jnp.asarray(squares, reduction.dtype))
        resolved = reduction.resolved_indices()
        potential = jnp.concatenate([faces, slopes, *inner], axis=1)[resolved]
        tables = _Tables(potential, all_moments[resolved], all_moments, averages)
        return eqx.tree_at(lambda d: d.tables, self, tables, is_leaf=lambda leaf: leaf is None)

    def initial_state(self) -> Float[Array, "2 cells"]:
        """Cell means of the start."""
        return self.reduction.cell_masses / self._cell

    def velocity(self, t, state):
        """Rate of change of every cell mean, [2, cells]."""
        slope, potential = self.potential(state)
        values = self.cell_values(state)
        change = self.transport(values, slope) + self._reaction(values, potential)
        return change if self.pace is None else self.pace.rate * (change - self.pace.loss * state)

    def potential(self, state) -> tuple[Float[Array, " faces"], Float[Array, "4 cells"]]:
        """V at the faces and G at the Lobatto points of every cell."""
        assert self.tables is not None
        cells = self.reduction.cells
        moments = jnp.matmul(self.tables.moments, state[0] - state[1], precision=_HIGHEST)
        reduction = self.reduction.resolved()
        forces = reduction.factors * reduction.residual(moments)
        points = jnp.matmul(forces, self.tables.potential, precision=_HIGHEST)
        faces, slope, inner = jnp.split(points, [cells + 1, 2 * cells + 2])
        inner = inner.reshape(2, cells)
        return slope, jnp.stack([faces[:-1], inner[0], inner[1], faces[1:]])

    def cell_values(self, state: Float[Array, "2 cells"]) -> Float[Array, "2 4 cells"]:
        """Density at the Lobatto points of every cell, limited so that nothing becomes negative."""
        values = self.reconstruct(state)
        factor = self.limiter_factor(state, values)
        return state[:, None] + factor[:, None] * (values - state[:, None])

    def limiter_factor(self, state: Float[Array, "2 cells"], values: Float[Array, "2 4 cells"]) -> Float[Array, "2 cells"]:
        """How far each polynomial may keep its deviation from the cell mean: 1 where nothing is negative."""
        if not self.limited:
            return jnp.ones_like(state)
        lowest = jnp.min(values, axis=1)
        at_points = jnp.where(lowest < 0, state / jnp.where(lowest < 0, state - lowest, 1.0), 1.0)
        # What is left of the mean when both faces have given their share must stay positive as well.
        share = OUTFLOW_SHARE * (values[:, 0] + values[:, 3])
        left_over = (1 - 2 * OUTFLOW_SHARE) * state
        excess = share - 2 * OUTFLOW_SHARE * state
        at_faces = jnp.where(share > state, left_over / jnp.where(share > state, excess, 1.0), 1.0)
        # Held constant in differentiation: the switches have no useful derivative.
        return jax.lax.stop_gradient(jnp.clip(jnp.minimum(at_points, at_faces), 0.0, 1.0))

    def transport(self, values: Float[Array, "2 4 cells"], slope: Float[Array, " faces"]) -> Float[Array, "2 cells"]:
        """−∂_θ(±V τ^±) in every cell from upwind values at the faces; conserves the mass of each sign."""
        speed = jnp.asarray(_SIGNS, slope.dtype) * slope[None]
        zero = jnp.zeros_like(speed[:, :1])
        from_left = jnp.concatenate([zero, values[:, 3]], axis=1)
        from_right = jnp.concatenate([values[:, 0], zero], axis=1)
        flux = jnp.maximum(speed, 0.0) * from_left + jnp.minimum(speed, 0.0) * from_right
        return -jnp.diff(flux, axis=1) / self._cell

    def _reaction(self, values, potential):
        weighted = jnp.asarray(LOBATTO_WEIGHTS[:, None], potential.dtype) * potential
        return REACTION * jnp.asarray(_SIGNS, potential.dtype) * jnp.sum(weighted[None] * values, axis=1)

    def largest_step(self, state):
        """1 / max(|V|/(share·h) + 2|G| + 2λ): with it, an Euler step takes at most what a limited cell holds."""
        slope, potential = self.potential(state)
        speed = jnp.maximum(jnp.abs(slope[1:]), jnp.abs(slope[:-1]))
        rate = speed / (OUTFLOW_SHARE * self._cell) + REACTION * jnp.max(jnp.abs(potential), axis=0)
        if self.pace is not None:
            rate = self.pace.rate * (rate + self.pace.loss)
        return 1 / jnp.maximum(jnp.max(rate), jnp.finfo(state.dtype).tiny)

    def observe(self, t, state):
        """Risk, masses, alignments and, on [0, π/2], Wasserstein distances to the two ends."""
        assert self.tables is not None
        moments = jnp.matmul(self.tables.all_moments, state[0] - state[1], precision=_HIGHEST)
        masses = self._cell * jnp.sum(state, axis=1)
        averages = jnp.matmul(state, self.tables.averages.T, precision=_HIGHEST)
        return observables(self.reduction, moments, masses, averages)

    @property
    def _cell(self) -> float:
        return self.reduction.end / self.reduction.cells

    def reconstruct(self, state: Float[Array, "2 cells"]) -> Float[Array, "2 4 cells"]:
        """Values of the polynomials at the Lobatto points, before the limiter: linear in the cell means."""
        shifted = self.neighbours(state)
        stencil = reconstruction_stencil(self.half_width)
        rows = [sum(float(c) * s for c, s in zip(row, shifted, strict=True)) for row in stencil]
        return jnp.stack(rows, axis=1)

    def neighbours(self, state: Float[Array, "2 cells"]) -> list[Float[Array, "2 cells"]]:
        """The means of the cells of the stencil, from left to right, continued by parity beyond both ends."""
        ghosts, cells = self.half_width, self.reduction.cells
        left, right = self.reduction.parity[0], self.reduction.parity[1]
        pieces = [left * state[:, :ghosts][:, ::-1], state, right * state[:, cells - ghosts :][:, ::-1]]
        padded = jnp.concatenate(pieces, axis=1)
        return [padded[:, shift : shift + cells] for shift in range(2 * ghosts + 1)]

    def _functionals(self, weights: Float[Array, "K 4 cells"]) -> Float[Array, "K cells"]:
        # ∫ weight dτ as a linear function of the cell means: the transpose of the reconstruction.
        shape = jax.ShapeDtypeStruct((2, self.reduction.cells), weights.dtype)
        transpose = jax.linear_transpose(self.reconstruct, shape)
        _, rule = lobatto_points(self.reduction.cells, self.reduction.end)
        rule = jnp.asarray(rule[None, :, None], weights.dtype)
        pairs = jnp.stack([weights * rule, jnp.zeros_like(weights)], axis=1)
        return jax.vmap(lambda w: transpose(w)[0][0])(pairs)


def observables(
    reduction: AngleReduction, moments: Float[Array, " M"], masses: Float[Array, " 2"], averages: Float[Array, "2 3"]
) -> dict[str, Array]:
    """The record of a state from its moments, masses and integrals of cos²θ, θ² and (end − θ)² against τ^±."""
    safe = jnp.where(masses > 0, masses, jnp.nan)[:, None]
    mean = averages / safe
    record = {
        "risk": reduction.risk(moments) + reduction.tail,
        "mass_plus": masses[0],
        "mass_minus": masses[1],
        "alignment_plus": mean[0, 0],
        "alignment_minus": mean[1, 0],
    }
    if not reduction.signed:
        record |= {"distance_plus": jnp.sqrt(mean[0, 1]), "distance_minus": jnp.sqrt(mean[1, 2])}
    return record


def polynomial_values(
    dynamics: GridDynamics, state: Float[Array, "2 cells"], theta: Float[Array, " n"]
) -> Float[Array, "2 n"]:
    """The limited polynomials of the cells at any angles, [2, n]."""
    reduction = dynamics.reduction
    position = theta / (reduction.end / reduction.cells)
    index = jnp.clip(jnp.floor(position).astype(int), 0, reduction.cells - 1)
    offset = position - index.astype(position.dtype) - 0.5
    powers = offset[None] ** jnp.arange(2 * dynamics.half_width + 1, dtype=position.dtype)[:, None]
    means = jnp.stack(dynamics.neighbours(state))[:, :, index]
    coefficients = jnp.asarray(_polynomials(dynamics.half_width), state.dtype)
    values = jnp.einsum("pn,ps,skn->kn", powers, coefficients, means, precision=_HIGHEST)
    factor = dynamics.limiter_factor(state, dynamics.reconstruct(state))[:, index]
    return state[:, index] + factor * (values - state[:, index])
