"""Finite volumes for the pair (τ⁺, τ⁻) on a grid of angles: conservative, high-order, non-negative without clipping.

In every cell a polynomial with the right cell means is evaluated at the four Gauss–Lobatto points. Where one of these
values, or what the outflow would leave behind, is negative, the polynomial is pulled towards its cell mean (Zhang & Shu
2010). An Euler step of at most `largest_step` then keeps every cell mean non-negative, and so does a
strong-stability-preserving Runge–Kutta method with its own multiple of that step.
"""

import functools
from collections.abc import Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...safe import quotient
from ..angles.forms import AbstractDensityForm
from ..angles.pace import REACTION, Pace
from ..base import Atoms
from ..rules.stencil import LOBATTO_WEIGHTS, lobatto_points, reconstruction_stencil, stencil_polynomials
from .angle_reduction import AngleReduction
from .grid_tables import GridTables, grid_tables

OUTFLOW_SHARE = 1.0 / 2.0  # the fastest flow may carry a face value over this share of a cell in one Euler step
_SIGNS = np.array([[1.0], [-1.0]])
_HIGHEST = jax.lax.Precision.HIGHEST

Values = list[Float[Array, "2 cells"]]  # at the four Lobatto points; never stacked, for XLA would compute the parts anew


class GridDynamics(AbstractDensityForm):
    """∂_t τ^± = ∓∂_θ(V τ^±) ± 2Gτ^± for the cell means of the densities, [2, cells].

    `half_width` is 2 for the fifth-order scheme and 0 for first-order upwind.
    """

    reduction: AngleReduction
    half_width: int = eqx.field(static=True)
    limited: bool = eqx.field(static=True, default=True)
    tables: GridTables | None = None
    pace: Pace | None = None

    def prepare(self):
        """Tables of features and functionals."""
        tables = grid_tables(self.reduction, self.half_width)
        return eqx.tree_at(lambda d: d.tables, self, tables, is_leaf=lambda leaf: leaf is None)

    def initial_state(self) -> Float[Array, "2 cells"]:
        """Cell means of the start."""
        return self.reduction.cell_masses / self._cell

    def velocity(self, t, state):
        """Rate of change of every cell mean, [2, cells]."""
        slope, potential = self.potential(state)
        values = self.limit(state, self.reconstruct(state), slope)
        change = self.transport(values, slope) + self._reaction(values, potential)
        return change if self.pace is None else self.pace.rate * (change - self.pace.loss * state)

    def potential(self, state) -> tuple[Float[Array, " faces"], list[Float[Array, " cells"]]]:
        """V at the faces and G at the four Lobatto points of every cell."""
        assert self.tables is not None
        cells = self.reduction.cells
        padded = self.with_ghosts(state)
        moments = self.tables.moments(padded[0] - padded[1])
        reduction = self.reduction.resolved()
        points = self.tables.synthesise(reduction.factors * reduction.residual(moments))
        faces, slope, inner, other = jnp.split(points, [cells + 1, 2 * cells + 2, 3 * cells + 2])
        return slope, [faces[:-1], inner, other, faces[1:]]

    def reconstruct(self, state: Float[Array, "2 cells"]) -> Values:
        """Values of the polynomials at the Lobatto points, before the limiter: linear in the cell means."""
        padded, cells = self.with_ghosts(state), self.reduction.cells
        shifted = [padded[:, shift : shift + cells] for shift in range(2 * self.half_width + 1)]
        stencil = reconstruction_stencil(self.half_width)
        return [_total(float(c) * s for c, s in zip(row, shifted, strict=True)) for row in stencil]

    def limit(self, state: Float[Array, "2 cells"], values: Values, slope: Float[Array, " faces"] | None = None) -> Values:
        """Densities at the Lobatto points, pulled to the mean so that nothing is negative, nor becomes so by the flow."""
        if not self.limited:
            return values
        factor = self.limiter_factor(state, values, slope)
        return [state + factor * (value - state) for value in values]

    def limiter_factor(
        self, state: Float[Array, "2 cells"], values: Values, slope: Float[Array, " faces"] | None = None
    ) -> Float[Array, "2 cells"]:
        """How far each polynomial may keep its deviation from the cell mean u: 1 where nothing is negative.

        With factor φ the lowest value is u + φ(lowest − u) ≥ 0. Where V is given at the faces, the largest Euler step
        carries away p u + φ(lost − p u) ≤ u as well, p the part of the cell that crosses its faces and `lost` what the
        unlimited polynomial has there. Both hold for φ = u / max(u, u − lowest, (lost − p u)/(1 − p)).
        """
        held, needed = state, jnp.maximum(state, state - functools.reduce(jnp.minimum, values))
        if slope is not None:
            to_left, to_right = _crossing(slope)
            part, lost = to_left + to_right, to_left * values[0] + to_right * values[3]
            rest = 1 - part
            held, needed = rest * held, jnp.maximum(rest * needed, lost - part * state)
        # The quotient comes last: XLA keeps quotients, and computes anew what follows them wherever it is used.
        return jnp.clip(quotient(held, jnp.maximum(needed, jnp.finfo(state.dtype).tiny)), 0.0, 1.0)

    def transport(self, values: Values, slope: Float[Array, " faces"]) -> Float[Array, "2 cells"]:
        """−∂_θ(±V τ^±) in every cell from upwind values at the faces; conserves the mass of each sign."""
        speed = jnp.asarray(_SIGNS, slope.dtype) * slope[None, 1:-1]  # there is no flux through the ends
        flux = speed * jnp.where(speed > 0, values[3][:, :-1], values[0][:, 1:])
        flux = jnp.pad(flux, ((0, 0), (1, 1)))
        return (flux[:, :-1] - flux[:, 1:]) / self._cell

    def _reaction(self, values: Values, potential: list[Float[Array, " cells"]]) -> Float[Array, "2 cells"]:
        terms = zip(LOBATTO_WEIGHTS, potential, values, strict=True)
        mean = _total(float(weight) * at_point[None] * value for weight, at_point, value in terms)
        return REACTION * jnp.asarray(_SIGNS, mean.dtype) * mean

    def largest_step(self, state):
        """1 / (max|V|/(share·h) + 2 max|G| + 2λ): with it, an Euler step takes at most what a limited cell holds."""
        slope, potential = self.potential(state)
        rate = jnp.max(jnp.abs(slope)) / (OUTFLOW_SHARE * self._cell) + REACTION * jnp.max(jnp.abs(jnp.stack(potential)))
        if self.pace is not None:
            rate = self.pace.rate * (rate + self.pace.loss)
        return 1 / jnp.maximum(rate, jnp.finfo(state.dtype).tiny)

    def observe(self, t, state):
        """Risk, masses, alignments and, on [0, π/2], Wasserstein distances to the two ends."""
        assert self.tables is not None
        moments = self.tables.all_moments(self.with_ghosts(state[0] - state[1]))
        masses = self._cell * jnp.sum(state, axis=1)
        averages = jnp.matmul(self.with_ghosts(state), self.tables.averages.T, precision=_HIGHEST)
        return self.reduction.observables(moments, masses, averages)

    def atoms(self, state):
        """The limited polynomials at the Lobatto points."""
        reduction = self.reduction
        points, weights = lobatto_points(reduction.cells, reduction.end)
        densities = jnp.stack(self.limit(state, self.reconstruct(state)), axis=1)
        values = densities * jnp.asarray(weights[None, :, None], state.dtype)
        theta = jnp.asarray(np.broadcast_to(points.ravel(), (2, points.size)), state.dtype)
        return Atoms(theta[..., None], values.reshape(2, -1))

    def predict(self, state, x):
        """f(x) of the atoms."""
        return self.reduction.predict_atoms(self.atoms(state), x)

    def network(self, state):
        """That of the atoms."""
        atoms = self.atoms(state)
        return self.reduction.network(atoms.scattered(), atoms.signed())

    def density(self, state, angles):
        """The limited polynomials of the cells."""
        return polynomial_values(self, state, angles[:, 0])

    @property
    def _cell(self) -> float:
        return self.reduction.end / self.reduction.cells

    def with_ghosts(self, state: Float[Array, "... cells"]) -> Float[Array, "... ghosted"]:
        """Cell means continued by parity into `half_width` cells beyond both ends."""
        ghosts, cells = self.half_width, self.reduction.cells
        left, right = self.reduction.parity[0], self.reduction.parity[1]
        pieces = [left * state[..., :ghosts][..., ::-1], state, right * state[..., cells - ghosts :][..., ::-1]]
        return jnp.concatenate(pieces, axis=-1)


def _total(terms: Iterable[Array]) -> Array:
    """Their sum, without the integer 0 that Python would start from."""
    return functools.reduce(jnp.add, terms)


def _crossing(slope: Float[Array, " faces"]) -> tuple[Float[Array, "2 cells"], Float[Array, "2 cells"]]:
    """The parts of every cell that the largest Euler step carries over its left and its right face, for both signs."""
    speed = jnp.asarray(_SIGNS, slope.dtype) * slope[None]
    fastest = jnp.max(jnp.abs(slope))
    # Where nothing moves nothing crosses, and the derivative of the part that does would be infinite.
    speed = jnp.where(fastest > 0, OUTFLOW_SHARE / jnp.where(fastest > 0, fastest, 1.0), 0.0) * speed
    return jnp.maximum(-speed[:, :-1], 0.0), jnp.maximum(speed[:, 1:], 0.0)


def polynomial_values(
    dynamics: GridDynamics, state: Float[Array, "2 cells"], theta: Float[Array, " n"]
) -> Float[Array, "2 n"]:
    """The limited polynomials of the cells at any angles, [2, n]."""
    reduction = dynamics.reduction
    position = theta / (reduction.end / reduction.cells)
    index = jnp.clip(jnp.floor(position).astype(int), 0, reduction.cells - 1)
    offset = position - index.astype(position.dtype) - 0.5
    powers = offset[None] ** jnp.arange(2 * dynamics.half_width + 1, dtype=position.dtype)[:, None]
    padded = dynamics.with_ghosts(state)
    means = jnp.stack([padded[:, index + shift] for shift in range(2 * dynamics.half_width + 1)])
    coefficients = jnp.asarray(stencil_polynomials(dynamics.half_width), state.dtype)
    values = jnp.einsum("pn,ps,skn->kn", powers, coefficients, means, precision=_HIGHEST)
    factor = dynamics.limiter_factor(state, dynamics.reconstruct(state))[:, index]
    return state[:, index] + factor * (values - state[:, index])
