"""`Training` on the reduced route: published values, closed forms, what is conserved, and the two forms of the equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_cases as cases
from scipy.special import gammaln

import mfsym as mf
from mfsym.reduced.angles.characteristics import CharacteristicDynamics
from mfsym.reduced.angles.label_law import RATIOS, half_sphere_rule, label_law
from mfsym.reduced.angles.labels import LabelDynamics, label_weights
from mfsym.reduced.angles.pace import Pace
from mfsym.reduced.rules.harmonics import funk_hecke, kernel_at_pole

pytestmark = pytest.mark.slow

ONE, TWO, FOUR = 1, 2, 3  # indices into cases.TIMES


def test_unbalanced_reference():
    assert [round(float(risk), 4) for risk in cases.exact("unbalanced start").risk[1:]] == [0.3197, 0.1477, 0.0827]


def test_gradient_descent_reference():
    assert round(float(cases.exact("gradient descent").risk[FOUR]), 4) == 0.0531


def test_labels_are_the_balanced_form_where_the_start_is_balanced():
    reduced, training = cases.reduction("lazy"), mf.Training(0.7, 0.7, 0.05)
    weights = cases.solve(reduced, training, rtol=1e-11, atol=1e-12)
    labels = cases.by_labels(reduced, training)
    assert weights.observables.keys() == labels.observables.keys()
    for name, values in weights.observables.items():
        np.testing.assert_allclose(labels.observables[name], values, rtol=1e-8, atol=1e-10, err_msg=name)


def test_the_grid_holds_decay_and_balanced_rates():
    # |a| = 2‖b‖ with rate_a = 4 rate_b is the balanced flow of masses 1, 1 in time √(4·1) t; and it decays in time 3t.
    start, balanced = mf.UnbalancedStart(2.0, 1.0), mf.SphereStart(1.0, 1.0)
    unequal = cases.solve(cases.reduce(cases.problem(start)), mf.Training(4.0, 1.0), "grid", (0.0, 0.5, 1.0, 2.0))
    usual = cases.reduce(cases.problem(balanced))
    twice = cases.solve(usual, mf.Training(), "grid", (0.0, 1.0, 2.0, 4.0))
    np.testing.assert_allclose(unequal.risk, twice.risk, rtol=1e-6)
    training = mf.Training(3.0, 3.0, 0.1)
    grid, labels = (cases.solve(usual, training, method) for method in ("grid", "characteristics"))
    for name in ("risk", "mass_plus", "mass_minus", "alignment_plus"):
        np.testing.assert_allclose(grid.observables[name], labels.observables[name], rtol=2e-4, atol=1e-7, err_msg=name)


def test_decay_selects_one_minimiser():
    decay, pole = 0.05, 30 * kernel_at_pole(30, 5)
    ts = (0.0, 200.0, 300.0, 400.0)
    run = cases.solve(cases.reduce(cases.problem(dim=30, dim_h=5)), mf.Training(weight_decay=decay), ts=ts)
    minus, position = (-np.diff(np.log(v)) / 100 for v in (run.mass_minus, run.distance_plus))
    print(f"τ⁺ {run.mass_plus[-1]:.5f}, rates {minus[-1]:.5f} and {position[-1]:.6f}")
    assert run.mass_plus[-1] == pytest.approx(16 / 3 - decay / pole, abs=5e-5)  # 5.0489
    assert run.risk[-1] == pytest.approx(decay**2 / (2 * pole), rel=1e-3)
    between = 1 / (2 * np.pi)  # K(π/2, 0)
    assert minus[-1] == pytest.approx(2 * decay * (1 + between / pole), rel=1e-2)  # .1905
    assert position[-1] == pytest.approx(decay / 5, rel=1e-2)  # .0100


def sizes(state):
    return np.asarray(state.a) ** 2, np.asarray(state.p) ** 2 + np.asarray(state.r) ** 2


def test_what_each_neuron_conserves():
    outer, inner = sizes(cases.exact("unequal rates").states)
    invariant = outer / 2.0 - inner / 0.5
    assert np.max(np.ptp(invariant, axis=0) / np.max(outer + inner)) < 1e-8
    outer, inner = sizes(cases.exact("weight decay").states)
    expected = (outer[0] - inner[0]) * np.exp(-2 * 0.1 * np.asarray(cases.TIMES))[:, None, None, None]
    np.testing.assert_allclose(outer - inner, expected, atol=1e-8 * np.max(outer))


def test_second_layer_only_is_a_linear_equation():
    # With b at rest every harmonic of the residual decays by itself, at the rate E‖x‖² a_2n² ‖b‖².
    reduced, run = cases.reduction("second layer only"), cases.exact("second layer only")
    eigenvalues = np.array([8 * funk_hecke(2 * n, 8) ** 2 for n in range(2 * cases.SIZES["modes"])])
    residual = np.asarray(reduced.coefficients) * np.exp(-np.outer(cases.TIMES, eigenvalues))
    expected = float(reduced.floor + reduced.tail) + 0.5 * np.sum(residual**2, axis=1)
    np.testing.assert_allclose(run.risk, expected, rtol=1e-7)


def test_a_neuron_that_reaches_zero_ends_the_run():
    reduced = cases.reduce(cases.problem(mf.UnbalancedStart(2.0, 0.5)))
    run = cases.solve(reduced, throw=False)
    stopped = float(run.stats["stopped_at"])
    assert "a neuron reached b = 0, where the ReLU flow is not unique" in run.sentence()
    assert f"at t = {stopped:.6g}" in run.sentence() and not np.any(run.valid[1:])
    with pytest.raises(mf.SolveError, match="not unique"):
        cases.solve(reduced)
    # Gradient descent goes on: its first neuron steps over b = 0 at that time, up to a step.
    step = 0.5 / 256
    times = step * np.arange(256)[[0, 64, 128, 255]]
    times = np.array([0.0, *(np.floor(stopped / step) + np.array([-1.0, 1.0, 2.0])) * step])
    turned = cases.solve(reduced, mf.Training(step=step), ts=times).states.r < 0
    assert not np.any(turned[1]) and np.any(turned[3])


def test_a_finite_step_tends_to_the_flow():
    times = jnp.asarray(cases.TIMES)
    errors = []
    for step in (0.25, 0.125, 0.0625):
        run = cases.solve(cases.reduction("unbalanced start"), mf.Training(step=step))
        errors.append(np.abs(run.risk - cases.exact("unbalanced start").risk)[1:])
        np.testing.assert_array_equal(run.ts, times)
        assert run.stats["steps"] == round(4 / step)
    order = np.log2(np.array(errors)[:-1] / np.array(errors)[1:])
    print(f"order in the step: {order}")
    assert np.all(np.abs(order[-1] - 1) < 0.25)


def test_small_starts_escape_after_the_logarithm_of_their_size():
    supremum = float(cases.reduction("lazy").target_term(jnp.zeros(1))[0])  # g* at θ = 0, its maximum
    for exponent, late in ((6, 1.25), (25, 1.1), (100, 1.02)):
        reduced = cases.reduce(cases.problem(mf.SphereStart(*[0.5 * 10.0 ** (-2 * exponent)] * 2)))
        ts = exponent * np.log(10) / supremum * np.array([0.0, 0.95, 1.0, late])
        risk = cases.solve(reduced, mf.Training(), ts=ts).risk
        print(f"start of size 1e-{exponent}: risk {risk} at {ts}")
        assert risk[2] > 0.5 * risk[0] > risk[3]  # the ratio of the escape time to log(1/s)/sup g* is in [1, late]


def test_labels_hold_small_starts_too():
    # Sizes are relative to that of the start: 10⁻⁸ needs no smaller tolerance.
    reduced, ts = cases.reduce(cases.problem(mf.SphereStart(1e-16, 1e-16))), (0.0, 15.0, 30.0, 35.0)
    weights = cases.solve(reduced, mf.Training(), ts=ts, rtol=1e-11, atol=1e-12)
    labels = cases.by_labels(reduced, mf.Training(), ts)
    np.testing.assert_allclose(labels.mass_plus, weights.mass_plus, rtol=1e-7)
    assert weights.mass_plus[-1] > 1 and weights.mass_plus[1] < 1e-6


@pytest.mark.parametrize("dim", [2, 3, 9, 31, 2001])
def test_rule_of_the_half_sphere(dim):
    nodes, probability = half_sphere_rule(dim, 16)
    for power in range(12):
        moment = np.exp(gammaln((power + 1) / 2) + gammaln(dim / 2) - gammaln((dim + power) / 2)) / np.sqrt(np.pi)
        assert probability @ nodes**power == pytest.approx(moment, rel=1e-6)  # 1e-9 of the neurons are left out


def test_sizes_of_a_gaussian_start():
    start = mf.GaussianStart(0.05, 1.0)
    reduced = cases.reduce(cases.problem(start))
    mass = 0.5 * 0.05 * np.sqrt(2 / np.pi) * np.sqrt(2 / 8) * np.exp(gammaln(4.5) - gammaln(4.0))
    for law in (reduced.labels, reduced.coarser().labels, label_law(start, 8, reduced.labels.log_probability, 32)):
        np.testing.assert_allclose(jnp.sum(law.share * law.outer * law.inner, axis=1), mass, rtol=1e-6)  # ½ E|a| E‖b‖
        np.testing.assert_allclose(jnp.sum(law.share * (law.outer**2 + law.inner**2)), 0.05**2 + 1, rtol=1e-6)
        np.testing.assert_allclose(jnp.sum(law.share * law.outer**2), 0.05**2, rtol=1e-6)
    coarse = reduced.coarser().labels
    assert coarse.outer.shape == (2, RATIOS // 2) and coarse.log_probability.shape == (31,)


SIGNED = cases.problem(target=mf.SingleIndex(jax.nn.softplus, kinks=()))
STRETCHED = cases.problem(inputs=mf.GaussianBlocks((2, 6), (1.5, 0.75)))


@pytest.mark.parametrize("problem", [SIGNED, STRETCHED], ids=["single index", "blocks"])
def test_velocities_of_both_forms_agree(problem):
    # (log c)' = a'/a + b·b'/‖b‖² and θ' = (p r' − r p')/‖b‖², at time 0.
    reduced = cases.reduce(problem)
    weights = CharacteristicDynamics(reduced, Pace(jnp.asarray(0.7), jnp.asarray(0.2)))
    labels = LabelDynamics(reduced, jnp.array([0.7, 0.7]), jnp.asarray(0.2), jnp.zeros(2)).prepare()
    state = labels.initial_state()
    expected = weights.velocity(jnp.zeros(()), weights.initial_state())
    found = labels.velocity(jnp.zeros(()), state)
    square = state.p**2 + state.r**2
    growth = found.a / state.a + (state.p * found.p + state.r * found.r) / square
    np.testing.assert_allclose(growth[:, 0], expected.log_weight, rtol=1e-9)
    np.testing.assert_allclose(((state.p * found.r - state.r * found.p) / square)[:, 0], expected.theta, atol=1e-10)


def test_twice_the_angles_change_nothing_beyond_the_stated_error():
    case = cases.CASES["unbalanced start"]
    run = cases.solve(cases.reduction("unbalanced start"), error=True)
    finer = cases.solve(cases.reduce(case.problem, nodes=127))
    for name in ("risk", "mass_plus", "alignment_plus"):
        change = np.abs(finer.observables[name] - run.observables[name])
        print(f"{name}: changed by {change.max():.1e}, stated {run.error[name].max():.1e}")
        assert np.all(change <= run.error[name] + 1e-12) and np.max(run.error[name]) < 1e-4


def test_labels_restart_and_show_their_fields():
    run = cases.exact("unbalanced start")
    first = jax.tree.map(lambda leaf: leaf[TWO], run.states)
    rest = cases.solve(cases.reduction("unbalanced start"), ts=(0.0, 0.5, 1.0, 2.0), initial=first)
    np.testing.assert_allclose(rest.risk[-1], run.risk[FOUR], rtol=1e-7)
    # G is also b·b'/a over the labels: a' = ‖b‖ G.
    theta = jnp.array([0.2, 1.3])
    np.testing.assert_allclose(mf.drift(run, theta), jax.vmap(jax.grad(lambda t: mf.potential(run, t[None])[0]))(theta))
    with pytest.raises(mf.ArgumentError, match="on a grid"):
        mf.density(run, theta)


def test_weights_are_masses():
    start = cases.exact("unbalanced start").states
    mass = label_weights(cases.reduction("unbalanced start")) * np.abs(start.a[0]) * np.hypot(start.p[0], start.r[0])
    np.testing.assert_allclose(jnp.sum(mass, axis=(1, 2)), 0.5, rtol=1e-12)


@pytest.mark.float32
def test_labels_in_single_precision():
    reduced = cases.reduce(cases.problem(cases.OUTSIDE), dtype="float32")
    run = cases.solve(reduced)
    assert run.risk.dtype == jnp.float32 and run.final.a.dtype == jnp.float32
    np.testing.assert_allclose(run.risk[1:], [0.3197, 0.1477, 0.0827], atol=1e-4)


GRADIENTS = {"flow": (None, jax.jacfwd, "forward"), "steps": (0.25, jax.grad, "reverse")}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_through_the_training(name):
    step, differentiate, mode = GRADIENTS[name]
    reduced, ts = cases.reduction("unbalanced start"), jnp.asarray(cases.TIMES)

    def risk(fields, derivative):
        options = {"method": "characteristics", "derivative": derivative, "rtol": 1e-10, "atol": 1e-11}
        return mf.solve_reduced(reduced, ts, training=mf.Training(*fields, step=step), **options).risk[-1]

    fields = jnp.array([1.3, 0.6, 0.1])
    gradient = differentiate(lambda fields: risk(fields, mode))(fields)
    for i, change in enumerate(1e-4 * np.eye(3)):
        central = (risk(fields + change, "forward") - risk(fields - change, "forward")) / 2e-4
        assert float(gradient[i]) == pytest.approx(float(central), rel=1e-5)
