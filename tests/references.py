"""Reference formulas, independent of the library: numpy, scipy and mpmath only.

Setting: x ~ N(0, I_d), square loss, neurons of unit direction u, cos(theta) = ||u_H|| (radial target,
theta in [0, pi/2]) or the signed coordinate u_1 (single-index target, theta in [0, pi]). A unit is
sigma(z) = odd * z + even * |z|; ReLU is odd = even = 1/2. "HC" is Hajjar & Chizat, arXiv:2211.08771, and its
authors' public notebooks; "derived" was worked out for this project.
"""

import itertools

import mpmath
import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.special


def alpha(n):
    """alpha(n) = 2 sqrt(pi) Gamma((n+1)/2) / Gamma(n/2): ||x_H|| = alpha * (feature at theta = 0) (HC)."""
    with mpmath.workdps(30):
        half = mpmath.mpf(n) / 2
        return float(2 * mpmath.sqrt(mpmath.pi) * mpmath.gamma(half + 0.5) / mpmath.gamma(half))


def arc_cosine(q, odd=0.5, even=0.5):
    """E[sigma(u.x) sigma(v.x)] for unit u, v with q = u.v.

    It is odd^2 q + even^2 (2/pi) (sqrt(1-q^2) + q arcsin q) (derived); for ReLU this is the order-1
    arc-cosine kernel kappa(q) = (sqrt(1-q^2) + q (pi - arccos q)) / (2 pi) (HC).
    """
    q = np.clip(q, -1.0, 1.0)
    return odd**2 * q + even**2 * (2 / np.pi) * (np.sqrt((1 - q) * (1 + q)) + q * np.arcsin(q))


def arc_cosine_derivative(q, odd=0.5, even=0.5):
    """Derivative of `arc_cosine` in q; for ReLU kappa'(q) = (pi - arccos q) / (2 pi) (HC)."""
    return odd**2 + even**2 * (2 / np.pi) * np.arcsin(np.clip(q, -1.0, 1.0))


def averaging_rule(dim, nodes=64, rule="gauss-jacobi"):
    """Nodes and weights (sum 1) for gamma_dim(s) ~ (1-s^2)^((dim-3)/2); gamma_1 is two atoms +-1 (HC).

    "gauss-jacobi": Golub-Welsch on the normalised recurrence, any dim; converges algebraically when kappa is
    singular at q = +-1 (small dim). "graded": s = cos(phi), tanh-sinh rule in phi, which resolves that but
    needs more than 20 sqrt(dim) nodes. "auto": graded below dim = 10, Gauss-Jacobi from there on.
    """
    if dim == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    if rule == "graded" or (rule == "auto" and dim < 10):
        exponent = np.pi * np.sinh(np.linspace(-3.1, 3.1, nodes))
        phi = np.pi * scipy.special.expit(exponent)
        from_end = np.pi * scipy.special.expit(-np.abs(exponent))
        logistic_slope = scipy.special.expit(exponent) * scipy.special.expit(-exponent)
        weights = logistic_slope * np.sqrt(np.pi**2 + exponent**2) * np.sin(from_end) ** (dim - 2)
        return np.cos(phi), weights / weights.sum()
    k = np.arange(1, nodes)
    shape = dim / 2 - 1  # Gegenbauer parameter; the k = 1 coefficient 1/dim also holds in the limit dim = 2
    below = np.maximum(k + shape - 1, 0.5)
    squares = np.where(k == 1, 1 / dim, k * (k + 2 * shape - 1) / (4 * (k + shape) * below))
    points, vectors = scipy.linalg.eigh_tridiagonal(np.zeros(nodes), np.sqrt(squares))
    return points, vectors[0] ** 2


def kernel_by_quadrature(theta, theta2, dim_h, dim_perp, nodes=64, rule="auto", derivative=False):
    """Matrix K(theta_i, theta2_j) for a radial target, by averaging kappa (HC):

    K = int int kappa(cos cos' r + sin sin' s) dgamma_{d_H}(r) dgamma_{d_perp}(s). `derivative`: dK/dtheta.
    """
    first, first_weights = averaging_rule(dim_h, nodes, rule)
    second, second_weights = averaging_rule(dim_perp, nodes, rule)
    weights = first_weights[:, None] * second_weights
    theta2 = np.atleast_1d(theta2)[:, None, None]
    along, across = np.cos(theta2) * first[:, None], np.sin(theta2) * second
    rows = []
    for angle in np.atleast_1d(theta):
        q = np.cos(angle) * along + np.sin(angle) * across
        values = arc_cosine(q)
        if derivative:
            values = arc_cosine_derivative(q) * (np.cos(angle) * across - np.sin(angle) * along)
        rows.append(np.sum(values * weights, axis=(1, 2)))
    return np.array(rows)


def kernel_single_index(theta, theta2, dim, nodes=64, rule="auto", odd=0.5, even=0.5, derivative=False):
    """Matrix K(theta_i, theta2_j) for one signed coordinate, theta in [0, pi] (derived from HC's reduction):

    K = int kappa(cos cos' + sin sin' s) dgamma_{d-1}(s), kappa that of the unit odd * z + even * |z|.
    `derivative`: dK/dtheta.
    """
    points, weights = averaging_rule(dim - 1, nodes, rule)
    theta, theta2 = np.atleast_1d(theta)[:, None, None], np.atleast_1d(theta2)[None, :, None]
    q = np.cos(theta) * np.cos(theta2) + np.sin(theta) * np.sin(theta2) * points
    if not derivative:
        return arc_cosine(q, odd, even) @ weights
    change = -np.sin(theta) * np.cos(theta2) + np.cos(theta) * np.sin(theta2) * points
    return (arc_cosine_derivative(q, odd, even) * change) @ weights


def kernel_by_appell(theta, theta2, dim_h, dim_perp, max_degree=4000):
    """Scalar K = F_4(-1/2, -1/2; d_H/2, d_perp/2; X, Y) / (2 pi), Appell's F_4 (derived).

    X = cos^2 cos'^2, Y = sin^2 sin'^2; F_4 = sum_{m,n} (a)_{m+n} (b)_{m+n} X^m Y^n / ((c)_m (c')_n m! n!).
    All terms are positive here. Summed by degree N = m + n: decay like cos(theta - theta2)^(2N), algebraic on
    the diagonal (4000 degrees: 1e-10 at d_H = 2, theta = 0; 1e-14 at d_H = 5).
    """
    log_gamma = scipy.special.gammaln
    x, y = (np.cos(theta) * np.cos(theta2)) ** 2, (np.sin(theta) * np.sin(theta2)) ** 2
    half_h, half_perp = dim_h / 2, dim_perp / 2
    total = 1.0
    for degree in range(1, max_degree + 1):
        m = np.arange(degree + 1)
        n = degree - m
        logs = scipy.special.xlogy(m, x) + scipy.special.xlogy(n, y) - log_gamma(m + 1) - log_gamma(n + 1)
        logs -= log_gamma(half_h + m) - log_gamma(half_h) + log_gamma(half_perp + n) - log_gamma(half_perp)
        rising = 2 * (log_gamma(degree - 0.5) - np.log(2 * np.sqrt(np.pi)))  # log of (-1/2)_N squared
        term = np.exp(scipy.special.logsumexp(logs) + rising)
        total += term
        if term < 1e-18:
            break
    return total / (2 * np.pi)


def kernel_corners(dim_h, dim_perp):
    """(K(0,0), K(0,pi/2), K(pi/2,pi/2)) = (d_H/alpha(d_H)^2, 1/(2 pi), d_perp/alpha(d_perp)^2) (derived)."""
    return dim_h / alpha(dim_h) ** 2, 1 / (2 * np.pi), dim_perp / alpha(dim_perp) ** 2


def target_term_norm(theta, dim_h):
    """g*(theta) = alpha/(2 pi) 2F1(-1/2, -1/2; d_H/2; cos^2 theta), f* = ||x_H||, any d_perp (derived)."""
    values = [mpmath.hyp2f1(-0.5, -0.5, mpmath.mpf(dim_h) / 2, mpmath.cos(t) ** 2) for t in np.ravel(theta)]
    return alpha(dim_h) / (2 * np.pi) * np.array([float(v) for v in values]).reshape(np.shape(theta))


def target_term_single_index(g, cos_angle, kinks=(), odd=0.5, even=0.5):
    """g*(u) = E[g(x_1) sigma(u.x)], u_1 = cos_angle (scalar), for f* = g(x_1) (derived). For ReLU

    g* = E_z[g(z) (m Phi(m/s) + s phi(m/s))], z ~ N(0,1), m = cos_angle z, s = sqrt(1 - cos_angle^2). Adaptive
    quadrature on pieces split at the kinks of g and graded around 0; |z| > 13 is dropped (weight 1e-38).
    """
    sine = np.sqrt((1 - cos_angle) * (1 + cos_angle))

    def integrand(z):
        mean = cos_angle * z
        relu = max(mean, 0.0)
        if sine > 0:
            ratio = mean / sine
            relu = mean * scipy.special.ndtr(ratio) + sine * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        return g(z) * (odd * mean + even * (2 * relu - mean)) * density

    width = sine / max(abs(cos_angle), 1e-300)
    cuts = [0.0, *kinks, *(sign * c for sign in (-1, 1) for c in (13, 6, 3, 1, width, 4 * width, 12 * width))]
    cuts = sorted({float(np.clip(c, -13, 13)) for c in cuts})
    pieces = [
        scipy.integrate.quad(integrand, lo, hi, epsabs=1e-14, epsrel=1e-12, limit=200)[0]
        for lo, hi in itertools.pairwise(cuts)
    ]
    return float(sum(pieces))


def funk_hecke(degree, dim, odd=0.5, even=0.5, nodes=400):
    """Funk-Hecke coefficient a_k = int sigma(t) P_k(t) dgamma_dim(t), dim >= 2 (HC).

    P_k: Gegenbauer polynomial with P_k(1) = 1. Gauss-Legendre in phi on [0, pi/2], t = cos(phi), needs
    `nodes` well above `degree`; about 1e-14 absolute.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    phi = (points + 1) * np.pi / 4
    t, weights = np.cos(phi), weights * np.sin(phi) ** (dim - 2)
    previous, current = np.ones_like(t), t
    for k in range(1, degree):
        previous, current = current, ((2 * k + dim - 2) * t * current - k * previous) / (k + dim - 2)
    polynomial = previous if degree == 0 else current
    return float((even if degree % 2 == 0 else odd) * np.sum(weights * t * polynomial) / np.sum(weights))


def risk_on_nodes(theta, signed_weights, dim_h, dim, target_term, target_energy, kind="radial", **options):
    """F = (E f*^2 - 2 sum_i g*(theta_i) c_i + sum_ij K(theta_i, theta_j) c_i c_j) / 2 (HC; derived).

    K by quadrature (`options` go to it). `signed_weights` c: masses of tau+ minus tau- on the nodes;
    `target_term`: g* on the nodes or a function of theta; `target_energy`: E f*^2 (d_H for f* = ||x_H||);
    `kind`: "radial" or "single-index" (then dim_h is not used).
    """
    theta, c = np.asarray(theta), np.asarray(signed_weights)
    g = target_term(theta) if callable(target_term) else np.asarray(target_term)
    if kind == "radial":
        kernel = kernel_by_quadrature(theta, theta, dim_h, dim - dim_h, **options)
    elif kind == "single-index":
        kernel = kernel_single_index(theta, theta, dim, **options)
    else:
        raise ValueError(f"kind must be 'radial' or 'single-index', got {kind!r}")
    return 0.5 * (target_energy - 2 * g @ c + c @ kernel @ c)


def no_angle_masses(t, dim):
    """(tau+, tau-) masses for d_H = d, f* = ||x||, masses 1/2 and 1/2 at t = 0 (derived).

    tau+- = exp(+-s)/2, s' = 2 K (alpha - sinh s), K = d/alpha^2; tanh(s/2) = alpha T / (sqrt(1+alpha^2) + T),
    T = tanh(K sqrt(1+alpha^2) t).
    """
    a = alpha(dim)
    root = np.sqrt(1 + a**2)
    rise = np.tanh(dim / a**2 * root * np.asarray(t, float))
    s = 2 * np.arctanh(a * rise / (root + rise))
    return 0.5 * np.exp(s), 0.5 * np.exp(-s)


def network_risk_monte_carlo(a, b, target, samples=100_000, seed=0, batch=10_000):
    """(value, standard error) of E (f - f*)^2 / 2, f(x) = (1/m) sum_j a_j relu(b_j.x), x ~ N(0, I_d) (HC).

    `a`: (m,), `b`: (m, d), `target`: function of an (n, d) array; batches bound the memory.
    """
    a, b = np.asarray(a), np.asarray(b)
    generator = np.random.default_rng(seed)
    losses = []
    for start in range(0, samples, batch):
        x = generator.standard_normal((min(batch, samples - start), b.shape[1]))
        losses.append(0.5 * (np.maximum(x @ b.T, 0) @ a / len(a) - target(x)) ** 2)
    losses = np.concatenate(losses)
    return losses.mean(), losses.std(ddof=1) / np.sqrt(samples)


# (d_H, d_perp, theta, theta'): (K(theta, theta'), g*(theta)), f* = ||x_H|| (derived; nine decimals).
KERNEL_TABLE = {
    (5, 25, 0.3, 1.1): (0.162389659, 0.929367639),
    (5, 25, 0.9, 0.8): (0.163189490, 0.882110460),
    (5, 25, 0.0, 0.0): (0.175781250, 0.9375),
    (5, 25, np.pi / 2, np.pi / 2): (0.162369222, 0.848826363),
    (2, 38, 0.3, 1.1): (0.166871653, 0.623160592),
    (2, 38, 0.0, 0.0): (0.202642367, 0.636619772),
    (1, 3, 0.3, 1.1): (0.176403325, 0.480507333),
    (1, 3, 0.9, 0.8): (0.184025737, 0.382067545),
    (2, 3, 0.9, 0.8): (0.175778810, 0.549600138),
    (10, 40, 0.3, 1.1): (0.160794625, 1.287816804),
    (1, 1, 0.3, 1.1): (0.180549709, 0.480507333),
}

# Funk-Hecke coefficients of ReLU at d = 5, by degree (derived; exact decimals).
FUNK_HECKE_DIM_5 = {0: 0.1875, 1: 0.1, 2: 0.03125, 3: 0.0, 4: -0.00390625, 10: 0.000244140625}

# f* = ||x_H||, d = 30, d_H = 5 (setting of HC). t: (tau+ mass, tau- mass, W2(tau+ normalised, delta_0),
# W2(tau- normalised, delta_{pi/2}), F). Derived, exact flow: characteristics from Gauss nodes of the initial
# law, two resolutions agree to the digits given; t <= 3 also without harmonics, by kernel_by_quadrature.
REFERENCE_RUN = {
    0: (0.5, 0.5, 1.171666, 0.425428, 2.5),
    1: (2.095758, 0.1202312, 1.108222, 0.365507, 1.101173),
    3: (5.207314, 0.0510988, 0.977128, 0.275336, 0.131876),
    10: (5.504713, 0.0662813, 0.639757, 0.143259, 0.0327162),
    100: (5.516038, 0.1777057, 0.204527, 0.049127, 7.0970e-5),
}

# Same run, later: t: (tau+ mass, tau- mass, F). Derived; two resolutions agree to 1e-5.
REFERENCE_RUN_LATE = {800: (5.48982, 0.15708, 1.837e-5), 3000: (5.43580, 0.10274, 5.371e-6)}

# f* = ||x_H||, d = 40, t = 10. d_H: ((tau+, tau-) exact, derived, two resolutions agree to 1e-7;
# (tau+, tau-) published by HC: Monte Carlo, 1024 angles, Euler 5e-3, +-0.5 % scatter, tau- biased low;
# (tau+, tau-) noise-free Euler 5e-3 started from masses 521/1024 and 503/1024, derived).
DIM_40_TABLE = {
    2: ((3.424508, 0.1158735), (3.40828, 0.11263815), (3.4239, 0.11517)),
    5: ((5.510874, 0.0646649), (5.478126, 0.06297577), (5.5101, 0.06380)),
    10: ((7.844421, 0.0418696), (7.823118, 0.040315896), (7.8435, 0.04090)),
    15: ((9.629152, 0.0322962), (9.622843, 0.030962486), (9.6282, 0.03129)),
    18: ((10.556295, 0.0286312), (10.558362, 0.02744631), (10.5553, 0.02761)),
    20: ((11.131609, 0.0266638), (11.13857, 0.025575727), (11.1306, 0.02564)),
    25: ((12.454241, 0.0228158), (12.472371, 0.021753054), (12.4532, 0.02179)),
    30: ((13.649384, 0.0199519), (13.677326, 0.018809617), (13.6484, 0.01893)),
    33: ((14.318695, 0.0185417), (14.353262, 0.017320968), (14.3177, 0.01753)),
    35: ((14.748046, 0.0176980), (14.790969, 0.016472705), (14.7470, 0.01669)),
}

# f* = |x_1|, d = 20. t: (tau+ mass, tau- mass, F). Derived, exact flow, F from the quadrature kernel. t = 10:
# two resolutions and a run without harmonics agree; t = 100: F to 2e-4 relative (150 and 350 even modes).
ABSOLUTE_VALUE_RUN = {10: (2.354242, 0.192590, 0.01330235), 100: (2.30243, 0.30385, 1.2458e-4)}
