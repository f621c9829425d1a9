"""The flow of a cloud: invariants, derivatives, discrete descent, fresh samples, wrong arguments."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree
from particle_problems import random_cloud

import mfsym as mf
from mfsym.neurons import act
from mfsym.particles.descent import descend
from mfsym.particles.flow import solve_particles
from mfsym.particles.initial import sphere_cloud
from mfsym.particles.observables import measure_cloud, measurement
from mfsym.particles.risk import risk_of

KEY = jax.random.key(0)
RADIAL = mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2))
TS = jnp.asarray([0.0, 0.5, 2.0])


def flat(cloud):
    return np.asarray(ravel_pytree(cloud)[0], dtype=float)


@pytest.mark.float32
def test_the_flow_goes_down_and_keeps_what_it_conserves():
    """The risk never rises; a² − ‖b‖² is constant to 10·rtol·max a², and no sign changes."""
    cloud = sphere_cloud(RADIAL, width=20, key=KEY)
    single = cloud.dtype == jnp.float32
    rtol = 1e-4 if single else 1e-6
    solution = solve_particles(RADIAL, cloud, jnp.linspace(0.0, 10.0, 60), save_states=True)
    assert solution.succeeded and solution.clock == "flow time"
    assert solution.risk.dtype == solution.ts.dtype == solution.final.b.dtype == cloud.dtype
    assert np.all(np.diff(np.asarray(solution.risk, dtype=float)) <= rtol * float(solution.risk[0]))
    a, b = np.asarray(solution.states.a, dtype=float), np.asarray(solution.states.b, dtype=float)
    balance = a**2 - np.sum(b**2, axis=2)
    assert np.abs(balance - balance[0]).max() <= 10 * rtol * (a**2).max()
    assert np.all(np.sign(a) == np.sign(a[0]))
    np.testing.assert_allclose(solution.final.a, solution.states.a[-1], rtol=1e-6)
    check_first_record(solution, cloud)


@pytest.mark.slow
def test_clouds_with_a_symmetric_partner_are_linear():
    """s = −1, T = −I: pairs (a, b), (−a, −b) stay pairs to 1e-12, and obey a' = ½ b·y, b' = ½ a y, y = w − mean of ½ab.

    The predictor of such a cloud is linear (Hajjar & Chizat 2022); its equation is solved by scipy.
    """
    weights, half = np.asarray([1.0, -0.5, 0.25]), random_cloud(4, dim=3)
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget(weights))
    cloud = mf.orbit_cloud(half, mf.generate(mf.Symmetry(-1.0, -np.eye(3))))

    def residual(z):
        return weights - z[:4] @ z[4:].reshape(4, 3) / 8

    def slope(_, z):
        return np.concatenate([z[4:].reshape(4, 3) @ residual(z), np.outer(z[:4], residual(z)).ravel()]) / 2

    run = scipy.integrate.solve_ivp(slope, (0, 5), flat(half), rtol=1e-11, atol=1e-12)
    solution = solve_particles(problem, cloud, jnp.asarray([0.0, 5.0]), rtol=1e-9, atol=1e-11)
    first, second = (mf.Particles(solution.final.a[part], solution.final.b[part]) for part in (slice(4), slice(4, 8)))
    np.testing.assert_allclose(flat(first), run.y[:, -1], rtol=0, atol=1e-7)
    np.testing.assert_allclose(flat(second), -flat(first), rtol=0, atol=1e-12 * np.abs(flat(first)).max())
    remaining = residual(run.y[:, -1])
    np.testing.assert_allclose(solution.risk[-1], remaining @ remaining / 2, rtol=1e-6)


@pytest.mark.slow
def test_orbit_closed_clouds_keep_their_symmetry():
    """The images of the first copy of a cloud are the other copies, to 1e-12, up to t = 5."""
    flips = [mf.Symmetry(1.0, np.diag([-1.0, 1, 1, 1, 1])), mf.Symmetry(1.0, np.diag([1.0, 1, 1, 1, -1]))]
    group = mf.generate(*flips, mf.Symmetry(1.0, np.eye(5)[[1, 0, 2, 3, 4]]))
    start = mf.orbit_cloud(random_cloud(3, dim=5, seed=2), group)
    final = solve_particles(RADIAL, start, jnp.asarray([0.0, 5.0])).final
    first = mf.Particles(final.a[:3], final.b[:3])
    images = [act(group[i], first) for i in range(len(group))]
    assert len(images) == 16
    expected = mf.Particles(jnp.concatenate([c.a for c in images]), jnp.concatenate([c.b for c in images]))
    np.testing.assert_allclose(flat(final), flat(expected), rtol=0, atol=1e-12 * np.abs(flat(final)).max())


def final_risk(parameters, derivative="reverse"):
    """The last risk as a function of the target's scale, both masses, and the first neuron."""
    start = mf.SphereStart(parameters[1], parameters[2])
    problem = mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2, parameters[0]), start=start)
    cloud = sphere_cloud(problem, width=16, key=KEY)
    cloud = eqx.tree_at(lambda c: (c.a, c.b), cloud, (cloud.a.at[0].add(parameters[3]), cloud.b.at[0, 1].add(parameters[4])))
    return solve_particles(problem, cloud, TS, derivative=derivative).risk[-1]


@pytest.mark.slow
def test_gradient_of_the_final_risk():
    """With the default tolerances, in reverse and in forward mode, to 1e-5 of central differences."""
    point, step = jnp.asarray([1.1, 0.5, 0.4, 0.0, 0.0]), 1e-4
    moves = step * np.eye(5)
    reverse = jax.jit(jax.value_and_grad(final_risk))
    expected = np.array([(reverse(point + move)[0] - reverse(point - move)[0]) / (2 * step) for move in moves])
    found = np.asarray(reverse(point)[1])
    print("relative errors of the gradient", np.abs(found / expected - 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    direction = jnp.asarray([1.0, -0.5, 2.0, 1.0, -1.0])
    forward = jax.jit(lambda p: jax.jvp(lambda p: final_risk(p, "forward"), (p,), (direction,))[1])(point)
    np.testing.assert_allclose(forward, expected @ np.asarray(direction), rtol=1e-5)


@pytest.mark.float32
def test_descent_is_the_euler_scheme():
    cloud, step = sphere_cloud(RADIAL, width=8, key=KEY), 0.05
    euler = solve_particles(RADIAL, cloud, jnp.linspace(0.0, 2.0, 5), step=step)
    descent = descend(RADIAL, cloud, 40, learning_rate=step, record_every=10)
    tolerance = 500 * float(jnp.finfo(cloud.dtype).eps)
    assert descent.clock == "flow time" and int(descent.stats["steps"]) == 40
    np.testing.assert_allclose(descent.ts, euler.ts, rtol=tolerance)
    for name, values in euler.observables.items():
        np.testing.assert_allclose(descent.observables[name], values, rtol=tolerance, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(flat(descent.final), flat(euler.final), rtol=0, atol=tolerance)


@pytest.mark.float32
def test_the_last_time_changes_no_step_before_it():
    """Steps have the length that was asked for, the last one excepted: it ends at the last time."""
    cloud, step = sphere_cloud(RADIAL, width=8, key=KEY), 0.3
    euler = solve_particles(RADIAL, cloud, [0.0, 0.3, 0.6, 0.9, 1.0], step=step, save_states=True)
    descent = descend(RADIAL, cloud, 3, learning_rate=step, save_states=True)
    tolerance = 100 * float(jnp.finfo(cloud.dtype).eps)
    np.testing.assert_allclose(euler.risk[:4], descent.risk, rtol=tolerance)
    velocity = risk_of(RADIAL).velocity(descent.final)
    np.testing.assert_allclose(euler.final.b, descent.final.b + 0.1 * velocity.b, atol=tolerance)
    assert int(euler.stats["steps"]) == 4


@pytest.mark.slow
def test_derivative_in_the_length_of_the_steps():
    cloud = sphere_cloud(RADIAL, width=4, key=KEY)

    def last_risk(step):
        return solve_particles(RADIAL, cloud, TS[:2], step=step).risk[-1]

    step, change = jnp.asarray(0.15), 1e-6  # three steps, and one of 0.05
    difference = (last_risk(step + change) - last_risk(step - change)) / (2 * change)
    assert float(jax.grad(last_risk)(step)) == pytest.approx(float(difference), rel=1e-5) != 0


@pytest.mark.slow
def test_fixed_steps_are_not_bounded_by_a_default():
    """No bound of the default size ends a long run, inside of jit either; max_steps does."""
    cloud, ts, training = sphere_cloud(RADIAL, width=2, key=KEY), np.array([0.0, 7.0]), mf.Training(step=1e-4)
    run = jax.jit(lambda c: solve_particles(RADIAL, c, ts, step=1e-4, derivative="forward").valid)(cloud)
    assert bool(run.all())
    reduced = mf.reduce(RADIAL, cells=16, modes=4, nodes=7)
    options = {"training": training, "method": "characteristics", "throw": False, "derivative": "forward"}
    assert int(mf.solve_reduced(reduced, ts, **options).stats["steps"]) == 70_000
    short = mf.solve_reduced(reduced, ts, max_steps=10, **options)
    assert "max_steps" in short.sentence() and not bool(short.succeeded)


@pytest.mark.slow
def test_descent_on_fresh_samples_is_the_sampled_flow():
    cloud, step = sphere_cloud(RADIAL, width=8, key=KEY), 0.05
    options = {"samples": 300, "key": jax.random.key(5)}
    euler = solve_particles(RADIAL, cloud, jnp.linspace(0.0, 2.0, 5), step=step, **options)
    descent = descend(RADIAL, cloud, 40, learning_rate=step, record_every=10, save_states=True, **options)
    np.testing.assert_allclose(flat(descent.final), flat(euler.final), rtol=0, atol=1e-12)
    np.testing.assert_allclose(descent.risk, euler.risk, rtol=1e-12)
    assert descent.states.b.shape == (5, 8, 5)
    other = descend(RADIAL, cloud, 40, learning_rate=step, record_every=10, samples=300, key=KEY)
    assert not np.allclose(flat(other.final), flat(descent.final), atol=1e-4)


def test_optimisers_count_steps(standard_promotion):
    cloud = sphere_cloud(RADIAL, width=8, key=KEY)
    solution = descend(RADIAL, cloud, 30, optimiser=optax.adam(0.05), record_every=15)
    assert solution.clock == "steps"
    np.testing.assert_array_equal(solution.ts, [0, 15, 30])
    assert solution.risk[-1] < 0.5 * solution.risk[0]


def check_first_record(solution, cloud):
    """The observables at t = 0 by their definitions; |a| = ‖b‖ = 1, H the first two axes."""
    b, positive = np.asarray(cloud.b, dtype=float), np.asarray(cloud.a) > 0
    squares = np.sum(b[:, :2] ** 2, axis=1)
    theta = np.arccos(np.sqrt(squares))
    expected = {
        "mass_plus": 0.5,
        "mass_minus": 0.5,
        "alignment_plus": squares[positive].mean(),
        "alignment_minus": squares[~positive].mean(),
        "distance_plus": np.sqrt(np.mean(theta[positive] ** 2)),
        "distance_minus": np.sqrt(np.mean((np.pi / 2 - theta[~positive]) ** 2)),
    }
    assert set(solution.observables) == {"risk", *expected} and solution.absent == ()
    assert isinstance(solution.model, mf.ReLU)
    for name, value in expected.items():
        np.testing.assert_allclose(solution.observables[name][0], value, rtol=1e-5, err_msg=name)


def test_observables_without_a_meaning():
    cloud = sphere_cloud(RADIAL, width=8, key=KEY)
    single = mf.Problem(mf.Gaussian(5), mf.SingleIndex(jnp.tanh))
    solution = descend(single, cloud, 2, learning_rate=0.1)
    assert solution.alignment_plus.shape == (3,) and solution.as_dict()["distance_plus"] is None
    with pytest.raises(AttributeError, match="radial targets only"):
        _ = solution.distance_plus
    teacher = mf.Problem(mf.Gaussian(5), mf.Teacher(random_cloud(2, dim=5)))
    assert dict(measurement(teacher, cloud).absent())["alignment_plus"] == "its target declares no subspace"
    measured = measure_cloud(RADIAL, mf.Particles(jnp.abs(cloud.a), cloud.b))
    assert np.isnan(measured["alignment_minus"]) and measured["mass_minus"] == 0


def test_a_sign_without_mass_does_not_end_a_run():
    cloud = sphere_cloud(RADIAL, width=8, key=KEY)
    solution = descend(RADIAL, mf.Particles(jnp.abs(cloud.a), cloud.b), 40, learning_rate=0.01, record_every=10)
    assert np.all(np.isnan(solution.alignment_minus)) and np.all(np.asarray(solution.valid))


class Cosine(mf.problem.units.AbstractUnit):
    """a cos(w·x + phase): not homogeneous, on a dictionary of weights."""

    def __call__(self, neuron, x):
        return neuron["a"] * jnp.cos(jnp.sum(neuron["w"] * x) + neuron["phase"])


def test_any_unit_and_any_pytree_on_the_sampled_route():
    keys = jax.random.split(KEY, 3)
    cloud = {
        "a": jax.random.normal(keys[0], (20,)),
        "w": jax.random.normal(keys[1], (20, 3)),
        "phase": jax.random.normal(keys[2], (20,)),
    }
    problem = mf.Problem(mf.Gaussian(3), mf.FunctionTarget(lambda x: jnp.sin(x[0])), unit=Cosine())
    solution = solve_particles(problem, cloud, jnp.asarray([0.0, 1.0, 4.0]), samples=200, step=0.1, key=KEY)
    assert set(solution.observables) == {"risk"} and set(solution.final) == {"a", "w", "phase"}
    assert solution.risk[-1] < 0.3 * solution.risk[0]
    with pytest.raises(AttributeError, match="1-homogeneous"):
        _ = solution.mass_plus


def test_an_early_end_raises_or_says_so():
    cloud = sphere_cloud(RADIAL, width=8, key=KEY)
    with pytest.raises(mf.SolveError, match="max_steps") as caught:
        solve_particles(RADIAL, cloud, TS, max_steps=3)
    assert not np.all(np.asarray(caught.value.solution.valid))
    solution = descend(RADIAL, cloud, 40, learning_rate=1e3, record_every=10, throw=False)
    assert not solution.succeeded and bool(solution.valid[0])
    with pytest.raises(mf.SolveError, match="not finite"):
        descend(RADIAL, cloud, 40, learning_rate=1e3, record_every=10)


def test_array_values_do_not_retrace():
    traces = []

    class Counted(eqx.Module):
        slope: jax.Array

        def __call__(self, z):
            traces.append(1)
            return self.slope * z

    def run(slope, seed):
        problem = mf.Problem(mf.Gaussian(5), mf.SingleIndex(Counted(jnp.asarray(slope))))
        count = len(traces)
        descend(problem, random_cloud(4, dim=5, seed=seed), 2, learning_rate=0.1)
        return len(traces) - count

    first = run(1.0, 0)
    assert run(2.0, 1) < first and run(3.0, 2) == run(4.0, 3) <= 1  # one look at the shape of g per problem


CLOUD = random_cloud(4, dim=5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_particles(RADIAL, random_cloud(4, dim=6), TS), "`cloud` must be of dimension 5"),
        (lambda: solve_particles(RADIAL, {"a": CLOUD.a}, TS), "`cloud` must be of type Particles"),
        (lambda: solve_particles(RADIAL, CLOUD, [1.0, 2.0]), "`ts` must be strictly increasing"),
        (lambda: solve_particles(RADIAL, CLOUD, [0.0, 2.0, 1.0]), "`ts` must be strictly increasing"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, samples=0, step=0.1, key=KEY), "`samples` must be an integer"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, samples=10, key=KEY), "`step` must be a positive number"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, samples=10, step=0.1), "`key` must be a JAX random key"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, key=KEY), "`key` must be left out"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, step=-1.0), "`step` must be a positive number"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, derivative="both"), "`derivative` must be one of"),
        (lambda: solve_particles(RADIAL, CLOUD, TS, dtype=jnp.int32), "`dtype` must be float32 or float64"),
        (lambda: solve_particles(RADIAL, eqx.tree_at(lambda c: c.a, CLOUD, CLOUD.a * jnp.nan), TS), "`cloud` must be"),
        (
            lambda: solve_particles(mf.Problem(mf.Gaussian(5), mf.FunctionTarget(jnp.sum)), CLOUD, TS),
            "`problem.target` must be one whose exact risk has a closed form.*samples=n",
        ),
        (
            lambda: solve_particles(mf.Problem(mf.Sphere(2), mf.SingleIndex(jnp.sin)), random_cloud(4, dim=2), TS),
            "`problem.inputs` must be of dimension at least 3",
        ),
        (lambda: risk_of(mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2), unit=Cosine())), "`problem.unit` must be"),
        (lambda: descend(RADIAL, CLOUD, 10), "`optimiser` must be given where `learning_rate` is not"),
        (lambda: descend(RADIAL, CLOUD, 10, learning_rate=0.1, record_every=3), "`record_every` must be a divisor"),
        (lambda: descend(RADIAL, CLOUD, 0, learning_rate=0.1), "`steps` must be an integer of at least 1"),
        (lambda: descend(RADIAL, CLOUD, 2.5, learning_rate=0.1), "`steps` must be an integer"),
        (lambda: descend(RADIAL, CLOUD, 2, optimiser=optax.polyak_sgd()), "`optimiser` must be one that needs the gradient"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(mf.ArgumentError, match=message):
        call()
