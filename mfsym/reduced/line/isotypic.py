"""The isotypic blocks of O(d_H) × O(d_⊥) in functions on the sphere, and the features of each.

A function on the sphere of R^d is a sum of φ(θ) Y_H(ω_H) Y_⊥(ω_⊥), with harmonics Y of degrees ℓ_H and ℓ_⊥ in the
directions inside H and H^⊥. A flow whose potential depends on the angle alone keeps these degrees apart, so that its
linearisation splits into blocks (ℓ_H, ℓ_⊥), each as often as there are harmonics, N = dim H_{ℓ_H}(R^{d_H}) · dim
H_{ℓ_⊥}(R^{d_⊥}). In a block

    φ_n(θ) = √λ_k p_n(θ),   p_n ∝ cos^{ℓ_H}θ sin^{ℓ_⊥}θ P_n^{(d_⊥/2−1+ℓ_⊥, d_H/2−1+ℓ_H)}(cos 2θ),   k = ℓ_H + ℓ_⊥ + 2n,

orthonormal for the uniform law, and √λ_k is √E‖x‖² times the Funk–Hecke coefficient: 0 for odd k ≥ 3. On a signed angle the
blocks are (0, ℓ); the functions of either parity in cos θ are those above of d_H = 1 and ℓ_H = 0 or 1, and only one parity
has even degrees, besides the linear function. (Derived.)
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .angle_reduction import AngleReduction

ORDERS = 3  # values, slopes and second derivatives
Blocks = tuple[tuple[int, int], ...]  # (ℓ_H, ℓ_⊥) of each
Jet = tuple[Array, ...]  # a function and its derivatives in θ, in order


class BlockFeatures(eqx.Module):
    """The features of blocks, one row each; members beyond the highest degree are 0.

    - `powers` (ℓ_H, ℓ_⊥) of the factor cos^{ℓ_H}θ sin^{ℓ_⊥}θ; `copies` N; `casimir` (L_H, L_⊥), L = ℓ(ℓ + dim − 2).
    - `first` times that factor is φ_0; φ_{n+1} = (slope_n cos 2θ + shift_n) φ_n − back_n φ_{n−1}.
    - `linear`: amplitudes of cos θ and sin θ in the one member of degree 1, or None where it is no further one.
    """

    powers: Int[Array, "*B 2"]
    copies: Float[Array, "*B"]
    casimir: Float[Array, "*B 2"]
    first: Float[Array, "*B"]
    slope: Float[Array, "*B n"]
    shift: Float[Array, "*B n"]
    back: Float[Array, "*B n"]
    linear: Float[Array, "*B 2"] | None


def blocks_of(reduction: AngleReduction, degree: int) -> Blocks:
    """The blocks with harmonics of degree at most `degree`, even, that are there as far as dimensions are known."""
    if reduction.signed:
        found = [(0, ell) for ell in range(degree + 1) if ell + ell % 2 <= degree]
    else:
        found = [(0, 0), (1, 0), (0, 1)] + [(k - i, i) for k in range(2, degree + 1, 2) for i in range(k + 1)]
    dim = reduction.known_dim()
    if dim is None:
        return tuple(found)
    dim_h = round(float(reduction.dim_h))
    return tuple((i, j) for i, j in found if harmonics_count(dim_h, i) * harmonics_count(dim - dim_h, j) > 0)


def harmonics_count(dim, degree: int):
    """dim H_ℓ(R^n) = C(n+ℓ−1, ℓ) − C(n+ℓ−3, ℓ−2): 1, 1, 0, 0, … for n = 1."""
    below = 0 * dim if degree < 2 else rising(dim, degree - 2) / math.factorial(degree - 2)
    return rising(dim, degree) / math.factorial(degree) - below


def rising(x, count: int):
    """x (x+1) ⋯ (x+count−1)."""
    return math.prod((x + i for i in range(count)), start=1.0 + 0 * x)


def block_features(reduction: AngleReduction, blocks: Blocks, degree: int) -> BlockFeatures:
    """The features of these blocks up to a degree."""
    dim, even_factor, odd_slope = reduction.dim, 2 * reduction.unit_slopes[1], reduction.unit_slopes[0]
    ratio = jnp.stack([abs(2 * n - 1) / (2 * n + dim + 1) for n in range(degree // 2 + 1)])
    first, linear = even_factor * reduction.features.even.first, jnp.sqrt(reduction.second_moment) * odd_slope / dim
    return _rows(reduction, blocks, first, ratio, linear)


def dual_features(reduction: AngleReduction, blocks: Blocks, degree: int) -> BlockFeatures:
    """sgn(a_k) p_n in the place of √λ_k p_n, as an input counts for the block:

    σ(u·x) = ‖x‖/√E‖x‖² Σ φ_n(θ_u) Y(ω_u) φ°_n(θ_x) Y(ω_x) over the members of all blocks and their harmonics."""
    one = jnp.ones_like(reduction.dim)
    signs = jnp.asarray(np.where(np.arange(degree // 2 + 1) == 0, 1.0, -1.0), one.dtype)  # a_0, a_2 > 0 > a_4 < …
    return _rows(reduction, blocks, one, signs, one)


def _rows(reduction: AngleReduction, blocks: Blocks, first, ratio: Float[Array, " n"], linear_root) -> BlockFeatures:
    """Members of degree 2j that are first·ratio_0 ⋯ ratio_{j−1} times orthonormal functions, of degree 1 `linear_root`."""
    dim, dim_h, count = reduction.dim, reduction.dim_h, len(ratio)
    perp, even_roots = dim - dim_h, first * jnp.cumprod(jnp.append(jnp.ones_like(dim), ratio))
    pairs = [(j % 2, j) if reduction.signed else (i, j) for i, j in blocks]
    powers = np.array(pairs)
    orders = jnp.asarray(powers, dim.dtype)
    norms = [jnp.sqrt(rising(dim / 2, i + j) / (rising(dim_h / 2, i) * rising(perp / 2, j))) for i, j in pairs]
    odd = np.sum(powers, axis=1) % 2 == 1
    starts = np.sum(powers, axis=1) // 2
    roots = jnp.where(odd, linear_root, even_roots[starts])
    places = starts[:, None] + np.arange(count)[None]
    kept = (places < count - 1) & ~odd[:, None]  # φ_{n+1} is still within the degree
    ratios = jnp.where(kept, ratio[np.minimum(places, count - 1)], 0.0)
    exponents = perp / 2 - 1 + orders[:, 1], dim_h / 2 - 1 + orders[:, 0]
    linear = None
    if reduction.signed:
        amplitude = linear_root * jnp.sqrt(dim) * jnp.stack([jnp.ones_like(dim), 1 / jnp.sqrt(perp)])
        linear = jnp.where(powers[:, 1][:, None] == np.arange(2)[None], amplitude[None], 0.0)
    casimir = orders * (orders - 2 + jnp.stack([dim_h, perp])[None])
    return BlockFeatures(
        jnp.asarray(powers),
        jnp.stack([harmonics_count(dim_h, i) * harmonics_count(perp, j) for i, j in pairs]),
        casimir,
        roots * jnp.stack(norms),
        *scaled_rows(*exponents, ratios),
        linear,
    )


def scaled_rows(
    alpha: Float[Array, " B"], beta: Float[Array, " B"], ratio: Float[Array, "B n"]
) -> tuple[Float[Array, "B n"], Float[Array, "B n"], Float[Array, "B n"]]:
    """slope, shift and back of s_n p_n, p_n orthonormal Jacobi polynomials and ratio = s_{n+1}/s_n, for several pairs of
    exponents, which may be traced; see `scaled_recurrence` of one pair."""
    n = jnp.arange(ratio.shape[1] + 1, dtype=ratio.dtype)[None]
    a, b, both = alpha[:, None], beta[:, None], (alpha + beta)[:, None]
    total = 2 * n + both
    later = n > 0
    diagonal = jnp.where(later, (b - a) * both / jnp.where(later, total * (total + 2), 1.0), (b - a) / (both + 2))
    # (n + α + β)/(total − 1) is 1 for n = 1, also where both vanish.
    last = jnp.where(n > 1, (n + both) / jnp.where(n > 1, total - 1, 1.0), 1.0)
    square = jnp.where(later, 4 * n * (n + a) * (n + b) * last / jnp.where(later, total**2 * (total + 1), 1.0), 0.0)
    off = jnp.where(later, jnp.sqrt(jnp.where(later, square, 1.0)), 0.0)
    slope = ratio / off[:, 1:]
    before = jnp.concatenate([jnp.zeros_like(ratio[:, :1]), ratio[:, :-1]], axis=1)
    return slope, -diagonal[:, :-1] * slope, off[:, :-1] * before * slope


def evaluate(block: BlockFeatures, tables: "Powers", orders: int = ORDERS) -> Jet:
    """φ_n, φ_n' and φ_n'' of one block, or the first `orders` of them, each [n, ...], at the angles of the tables."""
    first = leibniz(tables.cosines(block.powers[0])[:orders], tables.sines(block.powers[1])[:orders])
    first = tuple(block.first * each for each in first)
    members = recurrence((block.slope, block.shift, block.back), tables.doubled[:orders], first)
    if block.linear is None:
        return members
    one = jnp.ones((), block.powers.dtype)
    linear = zip(tables.cosines(one)[:orders], tables.sines(one)[:orders], strict=True)
    extra = [block.linear[0] * cosine + block.linear[1] * sine for cosine, sine in linear]
    return tuple(jnp.concatenate([many, each[None]]) for many, each in zip(members, extra, strict=True))


def orthonormal_functions(
    reduction: AngleReduction, powers: Int[Array, "2"], tables: "Powers", weight: Float[Array, "..."], count: int
) -> Jet:
    """All functions p_0 … p_{count−1} of a block, seen or not, and their derivatives, times a weight at every angle, each
    [count, ...]: orthonormal for the uniform law where it is the root of that."""
    one, perp = weight.dtype, (reduction.dim - reduction.dim_h) / 2 - 1
    ell_h, ell_p = powers[0].astype(one), powers[1].astype(one)
    if reduction.signed:
        first, x, exponents = (
            tables.sines(powers[1]),
            (tables.cosine[1], -tables.sine[1], -tables.cosine[1]),
            (perp + ell_p,) * 2,
        )
    else:
        first, x = leibniz(tables.cosines(powers[0]), tables.sines(powers[1])), tables.doubled
        exponents = perp + ell_p, reduction.dim_h / 2 - 1 + ell_h
    slope, shift, back = scaled_rows(exponents[0][None], exponents[1][None], jnp.ones((1, count), one))
    return recurrence((slope[0], shift[0], back[0]), x, tuple(weight * each for each in first))


def recurrence(rows: tuple[Array, Array, Array], x: Jet, first: Jet) -> Jet:
    """The jets of F_{n+1} = (slope_n x + shift_n) F_n − back_n F_{n−1}, each [n, ...], from those of x and of F_0."""

    def step(carry, row):
        value, below = carry
        slope, shift, back = row
        factor = (slope * x[0] + shift, *(slope * each for each in x[1:]))
        above = tuple(one - back * other for one, other in zip(leibniz(factor, value), below, strict=True))
        return (above, value), value

    nothing = tuple(jnp.zeros_like(each) for each in first)
    return jax.lax.scan(step, (first, nothing), rows)[1]


class Powers(eqx.Module):
    """Powers of cos θ and sin θ [K + 1, ...], and the jet of cos 2θ."""

    cosine: Float[Array, "K ..."]
    sine: Float[Array, "K ..."]
    doubled: Jet

    @staticmethod
    def of(theta: Float[Array, "..."], most: int) -> "Powers":
        """Up to the power `most`."""
        cosine, sine = (
            jnp.cumprod(jnp.stack([jnp.ones_like(value), *[value] * most]), axis=0)
            for value in (jnp.cos(theta), jnp.sin(theta))
        )
        return Powers(cosine, sine, doubled_angle(theta)[:ORDERS])

    def cosines(self, power: Int[Array, ""]) -> Jet:
        """The jet of cos^n θ."""
        return _power_jet(self.cosine, -self.sine[1], power)

    def sines(self, power: Int[Array, ""]) -> Jet:
        """The jet of sin^n θ."""
        return _power_jet(self.sine, self.cosine[1], power)


def doubled_angle(theta: Float[Array, "..."]) -> Jet:
    """cos 2θ and three derivatives."""
    cosine, sine = jnp.cos(2 * theta), jnp.sin(2 * theta)
    return cosine, -2 * sine, -4 * cosine, 8 * sine


def _power_jet(table: Float[Array, "K ..."], slope: Float[Array, "..."], power: Int[Array, ""]) -> Jet:
    """vⁿ, (vⁿ)' and (vⁿ)'' of a function with v'' = −v, from its powers and v'. No quotient: v may be 0."""
    n = power.astype(table.dtype)
    value, once, twice = (table[jnp.maximum(power - lower, 0)] for lower in range(ORDERS))
    return value, n * once * slope, n * (n - 1) * twice * slope**2 - n * value


def leibniz(left: Jet, right: Jet) -> Jet:
    """The jet of a product."""
    orders = range(len(left))
    terms = [[math.comb(order, i) * left[i] * right[order - i] for i in range(order + 1)] for order in orders]
    return tuple(sum(each[1:], each[0]) for each in terms)
