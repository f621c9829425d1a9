"""What symmetry leaves of a problem: an angle, the law of the start on it, and the potential of the flow.

The neurons of sign ε are a measure τ^ε on angles θ; with s_n the factor of the unit, η_n those of the target,
τ̂_n = ∫ψ_n d(τ⁺ − τ⁻),

    G(θ) = Σ_n s_n (η_n − s_n τ̂_n) ψ_n(θ),   V = ∂_θ G,   ∂_t τ^± = ∓∂_θ(V τ^±) ± 2 G τ^±,
    F = floor + ½ Σ_n (η_n − s_n τ̂_n)².
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .harmonics import EvenFeatures
from .label_law import LabelLaw

_HIGHEST = jax.lax.Precision.HIGHEST


class AngleFeatures(eqx.Module):
    """The even features of the angle and, on a signed angle, the linear one ½√(E R²/d) cos θ as the last entry.

    Where the inputs are `stretch` s times as large on H^⊥ as on H, a feature of b is that of (b_H, s b_⊥) for isotropic
    inputs: at ‖b‖ = 1 it is ρ ψ(φ) with ρ² = cos²θ + s² sin²θ, tan φ = s tan θ. (Derived.)
    """

    even: EvenFeatures
    linear: Float[Array, ""] | None
    stretch: Float[Array, ""] | None = None

    def __call__(self, theta: Float[Array, "..."]) -> tuple[Float[Array, "M ..."], Float[Array, "M ..."]]:
        """Every feature at θ and its derivative, [M, ...]."""
        if self.stretch is None:
            return self._isotropic(theta)
        cosine, sine = jnp.cos(theta), jnp.sin(theta)
        size = jnp.hypot(cosine, self.stretch * sine)
        values, slopes = self._isotropic(jnp.arctan2(self.stretch * sine, cosine))
        turned = slopes * (self.stretch / size)[None]  # ρ ∂φ/∂θ = s/ρ
        return size[None] * values, turned + ((self.stretch**2 - 1) * sine * cosine / size)[None] * values

    def _isotropic(self, theta):
        values, slopes = self.even(theta)
        if self.linear is None:
            return values, slopes
        value, slope = self.linear * jnp.cos(theta), -self.linear * jnp.sin(theta)
        return jnp.concatenate([values, value[None]]), jnp.concatenate([slopes, slope[None]])

    def truncate(self, count: int) -> "AngleFeatures":
        """The first `count` even features and the linear one."""
        return AngleFeatures(self.even.truncate(count), self.linear, self.stretch)


class AngleReduction(eqx.Module):
    """The one-angle equation of a problem: everything that both methods need, as array leaves.

    Shapes (cells, nodes, modes) come from static data only; dimensions, parities and coefficients are leaves, so that
    reductions of different problems stack. Twice `modes` features are stored: the dynamics uses the first half, the risk
    uses all, and the error estimate repeats the run with all.

    - `features`, `coefficients` η, `factors` s: [M] with M = 2·modes (+1 on a signed angle).
    - `cell_masses` [2, cells]: initial masses of τ⁺, τ⁻ in equal cells of [0, end].
    - `node_log_density` [2, nodes]: log-density of τ⁺, τ⁻ at the nodes of `node_rule`.
    - `floor`: risk that no τ can remove; `tail`: energy of the target beyond the stored features.
    - `average_table` [2, K]: the averaged feature, see `predictor.average_table`.
    - `parity` [2]: parity of the density about both ends of the interval.
    - `labels`: the law of (|a|, ‖b‖) at time 0, which only starts that are not balanced, or not kept so, need.
    """

    features: AngleFeatures
    coefficients: Float[Array, " M"]
    factors: Float[Array, " M"]
    cell_masses: Float[Array, "2 cells"]
    node_log_density: Float[Array, "2 nodes"]
    parity: Float[Array, " 2"]
    floor: Float[Array, ""]
    tail: Float[Array, ""]
    dim: Float[Array, ""]
    dim_h: Float[Array, ""]
    second_moment: Float[Array, ""]
    unit_slopes: Float[Array, " 2"]
    average_table: Float[Array, "2 K"]
    basis: Float[Array, "dim_h d"] | None
    labels: LabelLaw
    modes: int = eqx.field(static=True)

    @property
    def signed(self) -> bool:
        """Whether θ ∈ [0, π] is the angle to an axis; otherwise θ ∈ [0, π/2] is the angle to a subspace."""
        return self.features.linear is not None

    @property
    def end(self) -> float:
        """End of the interval of angles [0, end]."""
        return interval_end(self.signed)

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return self.cell_masses.shape[-1]

    @property
    def nodes(self) -> int:
        """Number of labels per sign of the characteristics."""
        return self.node_log_density.shape[-1]

    @property
    def dtype(self):
        """Floating type of the leaves."""
        return self.cell_masses.dtype

    def resolved_indices(self) -> np.ndarray:
        """Which of the stored features the dynamics uses: the first `modes` even ones and the linear one."""
        return np.r_[: self.modes, len(self.features.even) : self.coefficients.shape[-1]]

    def resolved(self) -> "AngleReduction":
        """The same reduction with only the features that the dynamics uses."""
        keep = self.resolved_indices()
        features = self.features.truncate(self.modes)
        new = (features, self.coefficients[keep], self.factors[keep])
        return eqx.tree_at(lambda r: (r.features, r.coefficients, r.factors), self, new)

    def residual(self, moments: Float[Array, " M"]) -> Float[Array, " M"]:
        """η_n − s_n τ̂_n for the moments τ̂ of τ⁺ − τ⁻."""
        return self.coefficients - self.factors * moments

    def risk(self, moments: Float[Array, " M"]) -> Float[Array, ""]:
        """F = floor + ½ Σ (η_n − s_n τ̂_n)² over the features that are there."""
        return self.floor + 0.5 * jnp.sum(self.residual(moments) ** 2)

    def kernel(self, theta: Float[Array, " n"], other: Float[Array, " k"]) -> Float[Array, "n k"]:
        """K(θ_i, θ'_j) = E[φ̃(θ_i; x) φ̃(θ'_j; x)], from all stored features, [n, k]."""
        left, right = (self.factors[:, None] * self.features(angles)[0] for angles in (theta, other))
        return jnp.matmul(left.T, right, precision=_HIGHEST)

    def target_term(self, theta: Float[Array, " n"]) -> Float[Array, " n"]:
        """g*(θ) = E[f*(x) φ̃(θ; x)], [n]."""
        return jnp.matmul(self.factors * self.coefficients, self.features(theta)[0], precision=_HIGHEST)


def interval_end(signed: bool) -> float:
    """π for the angle to an axis, π/2 for the angle to a subspace."""
    return float(np.pi if signed else np.pi / 2)


def node_rule(count: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Fejér's second rule on (0, end): `count` interior nodes, nested in the rule with 2·count + 1 (host, float64).

    The initial density is smooth and known in closed form, so its integrals against the smooth flow map converge
    spectrally; log-densities keep neurons that are exponentially rare.
    """
    angles = np.arange(1, count + 1) * np.pi / (count + 1)
    orders = np.arange(1, (count + 1) // 2 + 1)
    series = np.sin(np.outer(angles, 2 * orders - 1)) / (2 * orders - 1)
    weights = 4 * np.sin(angles) / (count + 1) * series.sum(axis=1)
    return end * (1 - np.cos(angles)) / 2, end * weights / 2


def grid(cells: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres [cells] and faces [cells + 1] of equal cells of [0, end] (host, float64)."""
    faces = np.linspace(0.0, end, cells + 1)
    return (faces[1:] + faces[:-1]) / 2, faces
