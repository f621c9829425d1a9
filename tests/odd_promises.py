"""Odd targets whose E[f* x] and E f*² are known: closed forms, or one-dimensional integrals by Gauss rules on panels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

import mfsym as mf


class Known(NamedTuple):
    """Inputs, f*, X̄ [d] and E f*²; `exact`: f* is a polynomial of degree 5, whose moments are promised to 1e-6."""

    inputs: Any
    function: Callable[[Any], Any]
    cross: np.ndarray
    energy: float
    exact: bool

    def problem(self) -> mf.Problem:
        """The problem with the default unit and start."""
        return mf.Problem(self.inputs, mf.FunctionTarget(self.function, parity="odd"))

    @property
    def optimum(self) -> np.ndarray:
        """w* = Σ⁺ X̄."""
        return np.linalg.pinv(np.asarray(self.inputs.covariance, float), rtol=1e-6, hermitian=True) @ self.cross

    @property
    def floor(self) -> float:
        """Q* = ½(E f*² − X̄·w*)."""
        return (self.energy - float(self.cross @ self.optimum)) / 2


def normal_mean(function, breaks=(0.0,)) -> float:
    """E g(z), z ~ N(0, 1), by Gauss–Legendre rules on panels that end at the breaks."""
    edges = np.unique(np.concatenate([np.linspace(-20, 20, 401), breaks]))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half) + half * nodes
    return float(np.sum(half * weights * function(z) * np.exp(-(z**2) / 2)) / np.sqrt(2 * np.pi))


def ridge(inputs, direction, g, host=None, breaks=(0.0,), exact=False) -> Known:
    """f* = g(u·x) for Gaussian inputs and an odd g; `host` is g of numpy."""
    u, host = np.asarray(direction, float), host or g
    covariance = np.asarray(inputs.covariance, float)
    scale = np.sqrt(u @ covariance @ u)
    breaks = np.asarray(breaks) / scale
    slope = normal_mean(lambda z: host(scale * z) * z, breaks) / scale
    energy = normal_mean(lambda z: host(scale * z) ** 2, breaks)
    return Known(inputs, lambda x: g(jnp.sum(jnp.asarray(u, x.dtype) * x)), covariance @ u * slope, energy, exact)


def axis(dim, scale, g, host=None, breaks=(0.0,), exact=False) -> Known:
    """f* = g(x_1)."""
    known = ridge(mf.Gaussian(dim, scale), np.eye(dim)[0], g, host, breaks, exact)
    return known._replace(function=lambda x: g(x[0]))


def additive(dim, scale, coefficients, g, host=None, breaks=(0.0,), exact=False) -> Known:
    """f* = Σ_k c_k g(x_k), g odd."""
    one, c = axis(1, scale, g, host, breaks), np.asarray(coefficients, float)
    inputs, energy = mf.Gaussian(dim, scale), float(np.sum(c**2) * one.energy)
    return Known(inputs, lambda x: jnp.sum(jnp.asarray(c, x.dtype) * g(x)), c * one.cross[0], energy, exact)


def powers(dim, scale, terms) -> Known:
    """f* = Σ c Π_i x_i^{α_i} of `terms` {((i, α_i), …): c}, of degree at most 5."""

    def mean(first, second):
        total = np.zeros(dim, int)
        for i, a in (*first, *second):
            total[i] += a
        if np.any(total % 2):
            return 0.0
        return scale ** total.sum() * np.prod([np.prod(np.arange(1.0, n, 2)) for n in total])

    energy = sum(c * e * mean(a, b) for a, c in terms.items() for b, e in terms.items())
    cross = np.array([sum(c * mean(a, ((k, 1),)) for a, c in terms.items()) for k in range(dim)])

    padded = [[*term, *[(0, 0)] * (5 - len(term))] for term in terms]
    axes, exponents = np.moveaxis(np.array(padded), 2, 0)

    def function(x):
        return jnp.sum(
            jnp.asarray([*terms.values()], x.dtype) * jnp.prod(jnp.stack([x**k for k in range(6)])[exponents, axes], axis=1)
        )

    return Known(mf.Gaussian(dim, scale), function, cross, float(energy), True)


def network(dim, scale, width, g, moments, exact=False, seed=0) -> Known:
    """f* = Σ_j a_j g(u_j·x) with unit vectors u_j; `moments(ρ)` = E g(y) g(z) of variances scale², and E[g(y) y]."""
    generator = np.random.default_rng(seed)
    a, u = generator.standard_normal(width), generator.standard_normal((width, dim))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    products, slope = moments(u @ u.T)
    function = lambda x: jnp.sum(jnp.asarray(a, x.dtype) * g(jnp.matmul(jnp.asarray(u, x.dtype), x)))  # noqa: E731
    return Known(mf.Gaussian(dim, scale), function, slope * (a @ u), float(a @ products @ a), exact)


def sphere_moment(power, dim, radius) -> float:
    """E|x_1|^p on the sphere."""
    logs = gammaln((power + 1) / 2) + gammaln(dim / 2) - gammaln(0.5) - gammaln((dim + power) / 2)
    return float(radius**power * np.exp(logs))


def on_sphere(dim, radius, power) -> Known:
    """f* = sign(x_1)|x_1|^p."""
    cross = sphere_moment(power + 1, dim, radius) * np.eye(dim)[0]
    function = (lambda x: jnp.sign(x[0])) if power == 0 else (lambda x: x[0] ** power)
    return Known(mf.Sphere(dim, radius), function, cross, sphere_moment(2 * power, dim, radius), 0 < power <= 5)


def fifth(x):
    return x**5


def hermite_fifth(x):
    return (x**5 - 10 * x**3 + 15 * x) / np.sqrt(120.0)


def mixed(x):
    return x - 0.4 * x**3 + 0.05 * x**5


def window(x):
    """sign(x) where |x| > 1, a jump off the origin."""
    return jnp.sign(x) * (jnp.abs(x) > 1).astype(x.dtype)


def window_host(x):
    return np.sign(x) * (np.abs(x) > 1)


def fifth_moments(rho):
    return 225 * rho + 600 * rho**3 + 120 * rho**5, 15.0


def sign_moments(rho):
    return 2 / np.pi * np.arcsin(np.clip(rho, -1, 1)), np.sqrt(2 / np.pi)


def sine_moments(rho):
    return np.exp(-1) * np.sinh(rho), np.exp(-0.5)


def _covariance(dim, seed):
    factor = np.random.default_rng(seed).standard_normal((dim, dim)) / np.sqrt(dim)
    return mf.GaussianCovariance(factor @ factor.T + 0.1 * np.eye(dim))


def _row(dim, seed):
    return np.random.default_rng(seed).standard_normal(dim) / np.sqrt(dim)


def _radial(dim):
    """f* = ‖x‖ x_1: E f*² = E‖x‖⁴/d = d + 2, E[f* x_1] = E‖x‖³/d."""
    third = np.exp(1.5 * np.log(2) + gammaln((dim + 3) / 2) - gammaln(dim / 2))
    return Known(mf.Gaussian(dim), lambda x: jnp.linalg.norm(x) * x[0], third / dim * np.eye(dim)[0], dim + 2.0, False)


def _shell(dim):
    """f* = x_1 where ‖x‖² > d, else 0: a jump in the radius. E f*² = E[f* x_1] = P(χ²_{d+2} > d)."""
    from scipy.stats import chi2

    share = float(chi2.sf(dim, dim + 2))
    function = lambda x: jnp.where(jnp.sum(x**2) > dim, x[0], jnp.zeros((), x.dtype))  # noqa: E731
    return Known(mf.Gaussian(dim), function, share * np.eye(dim)[0], share, False)


def _product(dim, g, host, even, even_host, breaks=(0.0,)):
    """f* = g(x_1) h(x_2), g odd and h even."""
    mean, square = (normal_mean(lambda z, p=p: even_host(z) ** p, breaks) for p in (1, 2))
    one = axis(1, 1.0, g, host, breaks)
    cross = mean * one.cross[0] * np.eye(dim)[0]
    return Known(mf.Gaussian(dim), lambda x: g(x[0]) * even(x[1]), cross, one.energy * square, False)


def _chain(dim):
    """Σ_k x_k² x_{k+1}³."""
    return {((k, 2), (k + 1, 3)): 1.0 / np.sqrt(dim) for k in range(dim - 1)}


def _same(x):
    return x


def _tanh(x):
    return jnp.tanh(20 * x)


def _tanh_host(x):
    return np.tanh(20 * x)


PROMISES: dict[str, Callable[[], Known]] = {
    "Σ cos(k+1) x_k^5, d = 25": lambda: additive(25, 0.7, 0.2 * np.cos(1.0 + np.arange(25)), fifth, exact=True),
    "Σ z_k x_k^5, d = 60": lambda: additive(60, 1.1, _row(60, 4), fifth, exact=True),
    "Σ z_k x_k^5, d = 100": lambda: additive(100, 0.9, _row(100, 5), fifth, exact=True),
    "He_5, d = 5": lambda: axis(5, 1.0, hermite_fifth, exact=True),
    "He_5, d = 1": lambda: axis(1, 1.0, hermite_fifth, exact=True),
    "cubic, d = 100": lambda: additive(100, 0.1, np.cos(np.arange(100)), lambda x: x**3, exact=True),
    "He_5(u·x), d = 100": lambda: ridge(mf.Gaussian(100), _row(100, 0), hermite_fifth, exact=True),
    "x + x³ + x⁵ along u, d = 40": lambda: ridge(mf.Gaussian(40, 1.3), _row(40, 1), mixed, exact=True),
    "x^5, full covariance, d = 4": lambda: ridge(_covariance(4, 0), np.eye(4)[0], fifth, exact=True),
    "x^5 along u, full covariance, d = 30": lambda: ridge(_covariance(30, 1), _row(30, 2), fifth, exact=True),
    "x_1³ x_2² + x_3, d = 3": lambda: powers(3, 1.0, {((0, 3), (1, 2)): 1.0, ((2, 1),): 1.0}),
    "x_1x_2x_3x_4x_5, d = 60": lambda: powers(60, 1.0, {tuple((i, 1) for i in (3, 17, 29, 41, 59)): 1.0}),
    "Σ x_k² x_{k+1}³, d = 100": lambda: powers(100, 0.8, _chain(100)),
    "five neurons z^5, d = 50": lambda: network(50, 1.0, 5, fifth, fifth_moments, exact=True),
    "forty neurons z^5, d = 24": lambda: network(24, 1.0, 40, fifth, fifth_moments, exact=True),
    "forty neurons z^5, d = 40": lambda: network(40, 1.0, 40, fifth, fifth_moments),
    "x_1^5 on the sphere, d = 4": lambda: on_sphere(4, 1.5, 5),
    "x_1^3 on the sphere, d = 80": lambda: on_sphere(80, 9.0, 3),
    "x_1^5 on the sphere, d = 30": lambda: on_sphere(30, 5.0, 5),
    "x_1^7 on the sphere, d = 3": lambda: on_sphere(3, 1.0, 7),
    "x_1^7 on the sphere, d = 20": lambda: on_sphere(20, 4.0, 7),
    "sign on the sphere, d = 2": lambda: on_sphere(2, 1.0, 0),
    "sign on the sphere, d = 30": lambda: on_sphere(30, 2.0, 0),
    "sinh(2x_1), d = 5": lambda: axis(5, 1.0, lambda x: jnp.sinh(2 * x), lambda x: np.sinh(2 * x)),
    "sinh(2x_1), d = 1": lambda: axis(1, 1.0, lambda x: jnp.sinh(2 * x), lambda x: np.sinh(2 * x)),
    "Σ sinh(1.5 x_k), d = 8": lambda: additive(8, 1.5, np.cos(np.arange(8)), jnp.sinh, np.sinh),
    "Σ sinh(x_k), d = 40": lambda: additive(40, 1.0, np.cos(np.arange(40)), jnp.sinh, np.sinh),
    "sinh(u·x), d = 50": lambda: ridge(mf.Gaussian(50), 2 * _row(50, 3), jnp.sinh, np.sinh),
    "x_1^7, d = 6": lambda: axis(6, 1.0, lambda x: x**7),
    "Σ x_k^7, d = 12": lambda: additive(12, 0.8, np.ones(12), lambda x: x**7),
    "Σ x_k^9, d = 25": lambda: additive(25, 0.6, np.cos(np.arange(25)), lambda x: x**9),
    "x_1^9, d = 1": lambda: axis(1, 0.9, lambda x: x**9),
    "tanh(20x), d = 1": lambda: axis(1, 1.0, _tanh, _tanh_host, (-0.2, -0.1, 0.0, 0.1, 0.2)),
    "tanh(20x_1), d = 10": lambda: axis(10, 1.0, _tanh, _tanh_host, (-0.2, -0.1, 0.0, 0.1, 0.2)),
    "Σ tanh(x_k), d = 30": lambda: additive(30, 1.0, np.ones(30), jnp.tanh, np.tanh),
    "sin(2x_1), d = 3": lambda: axis(3, 1.0, lambda x: jnp.sin(2 * x), lambda x: np.sin(2 * x)),
    "sin(5x_2), full covariance": lambda: ridge(_covariance(6, 2), 5 * np.eye(6)[1], jnp.sin, np.sin),
    "sign, d = 1": lambda: axis(1, 1.0, jnp.sign, np.sign),
    "sign, d = 20": lambda: axis(20, 1.0, jnp.sign, np.sign),
    "sign(u·x), d = 100": lambda: ridge(mf.Gaussian(100), _row(100, 6), jnp.sign, np.sign),
    "sign, full covariance, d = 5": lambda: ridge(_covariance(5, 3), np.eye(5)[0], jnp.sign, np.sign),
    "Σ sign(x_k), d = 7": lambda: additive(7, 1.0, np.ones(7), jnp.sign, np.sign),
    "ten signs, d = 15": lambda: network(15, 1.0, 10, jnp.sign, sign_moments),
    "ten sines, d = 30": lambda: network(30, 1.0, 10, jnp.sin, sine_moments),
    "a window, d = 1": lambda: axis(1, 1.0, window, window_host, (-1.0, 1.0)),
    "a window, d = 4": lambda: axis(4, 1.0, window, window_host, (-1.0, 1.0)),
    "a window along u, d = 12": lambda: ridge(mf.Gaussian(12), _row(12, 7), window, window_host, (-1.0, 1.0)),
    "windows, d = 20": lambda: additive(20, 1.3, np.cos(np.arange(20)), window, window_host, (-1.0, 1.0)),
    "‖x‖ x_1, d = 6": lambda: _radial(6),
    "x_1 outside a ball, d = 6": lambda: _shell(6),
    "x_1 outside a ball, d = 40": lambda: _shell(40),
    "sinh(x_1) x_2², d = 4": lambda: _product(4, jnp.sinh, np.sinh, jnp.square, np.square),
    "sinh(x_1) x_2², d = 30": lambda: _product(30, jnp.sinh, np.sinh, jnp.square, np.square),
    "sign(x_1)|x_2|, d = 8": lambda: _product(8, jnp.sign, np.sign, jnp.abs, np.abs),
    "x_1³ cos(3x_2), d = 5": lambda: _product(5, lambda x: x**3, None, lambda x: jnp.cos(3 * x), lambda x: np.cos(3 * x)),
    "x_1³ cosh(x_2), d = 10": lambda: _product(10, lambda x: x**3, None, jnp.cosh, np.cosh),
    "x_1 sin(x_2)/x_2, d = 3": lambda: _product(3, _same, None, lambda x: jnp.sin(x) / x, lambda x: np.sinc(x / np.pi)),
    "x exp(x²/5), d = 1": lambda: axis(1, 1.0, lambda x: x * jnp.exp(x**2 / 5), lambda x: x * np.exp(x**2 / 5)),
}  # fmt: skip
