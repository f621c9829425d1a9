"""Closed averages over directions, and the limit d → ∞: against integrals, against large d, and against the order
parameters of Saad & Solla (1995), which are exact for d = ∞ and any finite number of neurons."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf
from scipy import integrate, special

import mfsym as mf
from mfsym.errors import ArgumentError, NoReductionError
from mfsym.reduced.orbits.average import ErfAverage, PiecewiseLinearAverage, RuleAverage, StepAverage, closed_average
from mfsym.reduced.orbits.gauss import direction_rule

FLOW = {"derivative": "forward"}
START = mf.UnbalancedStart(1.0, 1.0)
STEP, ERF = mf.Neuron(jnp.sign), mf.Neuron(erf)
CLOSED = {
    "ReLU": (PiecewiseLinearAverage, mf.ReLU(), lambda z: np.maximum(z, 0)),
    "step": (StepAverage, STEP, np.sign),
    "erf": (ErfAverage, ERF, special.erf),
}


def average_of(name, dim):
    kind, unit, _ = CLOSED[name]
    return kind(unit, jnp.zeros((1, 0)), jnp.ones(1), dim)


def mean(dim, u, v, function):
    """E function(u + vω), split where its argument is 0; for dim = ∞ ω is Gaussian."""
    if dim == np.inf:
        density, reach = lambda w: np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi), 12.0
    else:
        power, scale = (dim - 3) / 2, special.beta(0.5, (dim - 1) / 2)
        density, reach = lambda w: (1 - w * w) ** power / scale, 1.0
    kink = -u / v
    points = [kink] if abs(kink) < reach else None
    return integrate.quad(lambda w: function(u + v * w) * density(w), -reach, reach, points=points, epsabs=1e-13)[0]


@pytest.mark.parametrize(("name", "dim"), [("step", 3), ("step", 9), ("ReLU", 3)] + [(name, np.inf) for name in CLOSED])
def test_closed_averages_are_integrals(name, dim):
    """Norms that finite steps have made negative are those of the other direction."""
    average = average_of(name, dim)
    for u, v in [(0.4, 2.0), (-0.9, 1.0), (0.2, 0.3), (0.5, -1.7), (2.0, 1.1)]:
        found = average(jnp.asarray([u]), jnp.asarray([[v]])).value[0]
        assert found == pytest.approx(mean(dim, u, v, CLOSED[name][2]), abs=1e-10), (u, v)


@pytest.mark.parametrize(("name", "dim"), [("step", 9), ("ReLU", 9)] + [(name, np.inf) for name in CLOSED])
def test_their_slopes_are_derivatives(name, dim):
    """By central differences, where the unit itself has no slope too; the other block is summed over, by a rule."""
    omega, probability = direction_rule(4, 8)
    kind, unit, _ = CLOSED[name]
    average = kind(unit, jnp.asarray(omega[:, None]), jnp.asarray(probability), dim)
    points = jnp.asarray([[0.3, 0.8, 2.9], [-0.5, 0.4, 3.1], [0.2, 0.3, -2.7]])
    found = average(points[:, 0], points[:, 1:])
    slopes = jnp.concatenate([found.slope[:, None], found.radial], axis=1)
    for axis in range(3):
        shift = 1e-5 * jnp.eye(3)[axis][None]
        high, low = (average((points + s)[:, 0], (points + s)[:, 1:]).value for s in (shift, -shift))
        assert np.allclose(slopes[:, axis], (high - low) / 2e-5, atol=1e-9)


def test_erf_over_a_gaussian_is_its_rule():
    """All three parts, by 60 nodes."""
    omega, probability = direction_rule(np.inf, 60)
    rule = RuleAverage(ERF, jnp.asarray(omega[:, None]), jnp.asarray(probability))
    u, v = jnp.asarray([0.3, -1.0, 0.0]), jnp.asarray([[0.8], [0.5], [1.1]])
    for one, other in zip(average_of("erf", np.inf)(u, v), rule(u, v), strict=True):
        assert np.allclose(one, other, atol=1e-9)


def erf_problem(dim):
    return mf.Problem(mf.Gaussian(dim), mf.SingleIndex(erf), unit=mf.Neuron(erf, bias=False), start=START)


@functools.cache
def limit():
    """d = ∞, which the dimension of the problem does not enter."""
    return mf.solve_reduced(mf.reduce(erf_problem(3), dim=jnp.inf), [0.0, 1.0, 3.0], rtol=1e-11, atol=1e-12, **FLOW)


@pytest.mark.slow
def test_differences_to_a_finite_dimension_are_of_order_one_over_d():
    dims, changes = np.array([100, 1000, 10_000]), []
    for dim in dims:
        run = mf.solve_reduced(mf.reduce(erf_problem(int(dim))), [0.0, 1.0, 3.0], rtol=1e-11, atol=1e-12, **FLOW)
        changes.append([float(run.observables[name][-1] - limit().observables[name][-1]) for name in run.observables])
    slopes = np.polyfit(np.log(dims), np.log(np.abs(changes)), 1)[0]
    print("slopes in d:", dict(zip(limit().observables, slopes, strict=True)))
    assert np.all(np.abs(slopes + 1) < 0.1)


def order_parameters(neurons, times):
    """Risk, E a², E b_1² and E ‖b_⊥‖² of m neurons and one teacher by the equations of Saad & Solla for d = ∞.

    In their units g(x) = erf(x/√2) and J = √2 b: C are all products of J_1, …, J_m and of the teacher. With the residual
    Σ_j w_j g(z_j), E g'(z_i) z_k g(z_j) = (2/π) (C_kj − C_ik C_ij/(1 + C_ii))/√((1 + C_ii)(1 + C_jj) − C_ij²).
    """
    m, start = neurons, np.concatenate([2 * np.eye(neurons + 1).ravel(), np.resize([1.0, -1.0], neurons)])

    def parts(state):
        products, a = state[: (m + 1) ** 2].reshape(m + 1, m + 1), state[(m + 1) ** 2 :]
        size = 1 + np.diag(products)
        pairs = 2 / np.pi * np.arcsin(products / np.sqrt(np.outer(size, size)))
        return products, size, pairs, np.append(-a / m, 1.0), np.append(a, 0.0)

    def rates(_, state):
        products, size, pairs, weights, a = parts(state)
        shares = weights / np.sqrt(np.outer(size, size) - products**2)
        pull = shares @ products - products * (np.sum(shares * products, axis=1) / size)[:, None]
        moved = 2 * a[:, None] * (2 / np.pi) * pull
        return np.concatenate([(moved + moved.T).ravel(), (pairs @ weights)[:m]])

    run = integrate.solve_ivp(rates, (0, times[-1]), start, t_eval=times, rtol=1e-10, atol=1e-12)
    rows = []
    for state in run.y.T:
        products, _, pairs, weights, a = parts(state)
        along = products[:m, m] ** 2 / 4
        across = np.diag(products)[:m] / 2 - along
        rows.append([weights @ pairs @ weights / 2, np.mean(a[:m] ** 2), along.mean(), across.mean()])
    return np.array(rows)


@pytest.mark.slow
def test_many_neurons_of_saad_and_solla_are_the_labels():
    """Differences fall like 1/m, and what two numbers of neurons extrapolate to is ours."""
    names, widths = ("risk", "a_squared", "b_h_squared", "b_perp_squared"), np.array([32, 64, 128])
    ours = np.stack([limit().observables[name] for name in names], axis=1)[1:]
    theirs = [order_parameters(m, np.array([0.0, 1.0, 3.0]))[1:] for m in widths]
    changes = np.abs(np.stack(theirs) - ours).reshape(len(widths), -1)
    slopes = np.polyfit(np.log(widths), np.log(changes), 1)[0]
    print("slopes in m:", slopes)
    assert np.all(np.abs(slopes + 1) < 0.1)
    assert np.allclose((4 * (2 * theirs[2] - theirs[1]) - (2 * theirs[1] - theirs[0])) / 3, ours, atol=2e-6)


@pytest.mark.parametrize("dim", [3, 4, 9, np.inf])
def test_the_derivative_of_a_step_is_its_slope(dim):
    """Also where the unit is ±1 for all directions, |u| > v."""
    average = average_of("step", dim)
    u, v, zero, one = jnp.array([0.4, -0.3, 2.0]), jnp.array([2.0, 1.0, 1.1]), jnp.zeros(3), jnp.ones(3)
    found = average(u, v[:, None])
    for tangents, expected in (((one, zero), found.slope), ((zero, one), found.radial[:, 0])):
        change = jax.jvp(lambda u, v: average(u, v[:, None]).value, (u, v), tangents)[1]
        assert np.allclose(change, expected, atol=1e-12), dim


def test_a_relu_is_known_by_its_function():
    """With its bias, which only moves u: a rule over the kink would be right to two digits."""
    average = closed_average(mf.Neuron(jax.nn.relu), 5)(jnp.zeros((1, 0)), jnp.ones(1), 5)
    exact = PiecewiseLinearAverage(mf.ReLU(), jnp.zeros((1, 0)), jnp.ones(1), 5)
    u, v = jnp.array([0.3, -0.2]), jnp.array([[1.1], [0.7]])
    assert all(np.array_equal(*pair) for pair in zip(average(u, v), exact(u, v), strict=True))


@pytest.mark.parametrize("start", [mf.GaussianStart(0.8, 1.2), mf.IndependentStart("uniform", "normal", 0.8, 1.2)])
def test_sizes_at_the_start_of_a_limit(start):
    """‖b‖ is its root mean square in infinitely many dimensions, all of it outside of H."""
    problem = mf.Problem(mf.Gaussian(3), mf.SingleIndex(jnp.tanh), unit=ERF, start=mf.BiasedStart(start, 0.1, 0.2))
    labels = mf.reduce(problem, dim=jnp.inf, nodes=8).labels
    squares = np.asarray(labels.weight) @ np.stack([labels.state.a, *labels.state.q.T], axis=1) ** 2
    assert np.allclose(squares, [0.64, 0.0, 1.44], atol=1e-12)


REFUSED = {
    "inputs on a sphere": (mf.Sphere(3), ERF, "coordinates whose law does not depend on d"),
    "steps without enough directions": (mf.Gaussian(3), STEP, "no bounded slope"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_limit_or_slope_is_refused(name):
    inputs, unit, words = REFUSED[name]
    with pytest.raises(NoReductionError, match=words):
        mf.reduce(mf.Problem(inputs, mf.SingleIndex(jnp.tanh), unit=unit), dim=None if unit is STEP else jnp.inf)


@pytest.mark.slow
def test_a_limit_has_no_inputs_and_no_clouds():
    for call in (
        lambda: mf.predict(limit(), np.zeros((1, 3))),
        lambda: mf.sample_cloud(limit(), 1.0, width=4, key=jax.random.key(0)),
    ):
        with pytest.raises(ArgumentError, match="the limit d → ∞"):
            call()
