"""The reduced equation in several angles: what both methods need of a problem.

With ψ the features of `harmonics`, f_l = √(E R²) times the factor of the unit, ψ̂ = ∫ψ d(τ⁺ − τ⁻):

    G(θ) = Σ f (η − f ψ̂) ψ(θ),   u' = ε ∇G on the sphere,   c' = 2 ε c G,   F = floor + ½ Σ (η − f ψ̂)².
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .coordinates import Blocks
from .harmonics import NestedTable, reachable_degrees, select

_HIGHEST = jax.lax.Precision.HIGHEST


class BlockReduction(eqx.Module):
    """The equation in k angles of a problem whose target depends on norms of blocks and on signed coordinates.

    - `blocks`: how R^d is split (static); `tables`: the harmonics, one table per angle.
    - `coefficients` η [L, J, …] of the target, `factors` f [L] of the unit; the first axis runs over reachable degrees.
    - `uniform` [n_1, …, n_k]: probability of every cell for a uniform unit vector; `masses` [2]: of τ⁺ and τ⁻ at time 0.
    - `node_angles` [N, k], `node_log_weight` [N]: labels of the characteristics and the weights of their rule,
      a tensor product with `node_counts` nodes.
    - `second_moment`: E‖x‖². `basis`: rows that span H, where it is not the first coordinates.
    - `floor`: risk that no τ can remove; `tail`: energy of the target beyond the stored harmonics.
    - `resolved_count`: how many of the stored degrees the dynamics uses; the risk uses all.
    - `remainder`: whether the last block is what the target ignores, rather than one of its own blocks.
    """

    blocks: Blocks = eqx.field(static=True)
    tables: tuple[NestedTable, ...]
    coefficients: Float[Array, "..."]
    factors: Float[Array, " L"]
    uniform: Float[Array, "..."]
    masses: Float[Array, " 2"]
    node_angles: Float[Array, "N k"]
    node_log_weight: Float[Array, " N"]
    floor: Float[Array, ""]
    tail: Float[Array, ""]
    second_moment: Float[Array, ""]
    basis: Float[Array, "dim_h d"] | None
    node_counts: tuple[int, ...] = eqx.field(static=True)
    resolved_count: int = eqx.field(static=True)
    remainder: bool = eqx.field(static=True)

    @property
    def dtype(self):
        """Floating type of the leaves."""
        return self.uniform.dtype

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of cells of every angle."""
        return self.uniform.shape

    @property
    def count(self) -> int:
        """Number of stored degrees 0, stride, 2·stride, …"""
        return self.tables[0].log_first.shape[0]

    @property
    def degrees(self) -> np.ndarray:
        """Indices of the reachable degrees, the first axis of `coefficients`."""
        return reachable_degrees(self.count, self.blocks.stride)

    def resolved(self) -> "BlockReduction":
        """The same reduction with only the degrees that the dynamics uses."""
        count = self.resolved_count
        keep = self.degrees < count
        inner = tuple(slice(count) for _ in range(self.blocks.angles - 1))
        new = (
            tuple(table.truncate(count) for table in self.tables),
            self.coefficients[(np.nonzero(keep)[0], *inner)],
            self.factors[keep],
        )
        return eqx.tree_at(lambda r: (r.tables, r.coefficients, r.factors), self, new)

    def residual(self, moments: Float[Array, "..."]) -> Float[Array, "..."]:
        """η − f ψ̂, the same shape as `coefficients`."""
        return self.coefficients - self._along_degrees(self.factors) * moments

    def risk(self, moments: Float[Array, "..."]) -> Float[Array, ""]:
        """F = floor + ½ Σ (η − f ψ̂)² over the stored harmonics."""
        return self.floor + 0.5 * jnp.sum(self.residual(moments) ** 2)

    def forces(self, moments: Float[Array, "..."]) -> Float[Array, "..."]:
        """f (η − f ψ̂): the coefficients of G."""
        return self._along_degrees(self.factors) * self.residual(moments)

    def _along_degrees(self, vector: Float[Array, " L"]) -> Float[Array, "..."]:
        return vector.reshape(-1, *(1,) * (self.blocks.angles - 1))

    def features(self, angles: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Every feature at scattered points, [n, L, J, …]."""
        tables = [select(self.blocks, a, table(angles[:, a])[0]) for a, table in enumerate(self.tables)]
        return _products(tables)

    def features_and_gradients(self, angles: Float[Array, "n k"]) -> tuple[Float[Array, "n ..."], Float[Array, "k n ..."]]:
        """Features at scattered points and their derivatives along the orthonormal frame of the angles."""
        pairs = [table(angles[:, a]) for a, table in enumerate(self.tables)]
        over = [table(angles[:, a], over=1)[0] for a, table in enumerate(self.tables[:-1])]
        values = [select(self.blocks, a, value) for a, (value, _) in enumerate(pairs)]
        gradients = []
        for axis in range(self.blocks.angles):
            # (Π_{b<axis} 1/sin θ_b) ∂_axis: the harmonics that depend on θ_axis have a factor sin θ_b for every b < axis.
            mixed = [select(self.blocks, b, over[b]) for b in range(axis)]
            mixed += [select(self.blocks, axis, pairs[axis][1]), *values[axis + 1 :]]
            gradients.append(_products(mixed))
        return _products(values), jnp.stack(gradients)

    def kernel(self, angles: Float[Array, "n k"], others: Float[Array, "m k"]) -> Float[Array, "n m"]:
        """K(θ_i, θ'_j) = E[φ̃(θ_i; x) φ̃(θ'_j; x)] from all stored harmonics."""
        left, right = (self.features(a) * self._along_degrees(self.factors)[None] for a in (angles, others))
        return jnp.matmul(left.reshape(len(left), -1), right.reshape(len(right), -1).T, precision=_HIGHEST)

    def target_term(self, angles: Float[Array, "n k"]) -> Float[Array, " n"]:
        """g*(θ) = E[f*(x) φ̃(θ; x)]."""
        weights = self._along_degrees(self.factors) * self.coefficients
        return jnp.sum((self.features(angles) * weights[None]).reshape(len(angles), -1), axis=1)


def _products(tables: Sequence[Float[Array, "..."]]) -> Float[Array, "n ..."]:
    """Π_i F_i[l_i, l_{i+1}, n] as [n, L_1, …, L_k]."""
    out = jnp.moveaxis(tables[-1][:, 0], -1, 0)  # [n, L_k]
    for table in reversed(tables[:-1]):
        rows = jnp.moveaxis(table, -1, 0)  # [n, L, J]
        out = rows.reshape(*rows.shape, *(1,) * (out.ndim - 2)) * out[:, None]
    return out
