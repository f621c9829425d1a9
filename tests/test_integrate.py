"""The time loop on small systems with known solutions: order, landing, admissible steps, statuses, derivatives."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.control import Control
from mfsym.integrate import SSPRK104, AbstractDynamics, Stepping, cast_floats, integrate, require_complete
from mfsym.integrate.methods import METHODS


class Decay(AbstractDynamics):
    """A linear and a quadratic decay: y' = −rate y, z' = −z², with a bound on the step."""

    rate: jax.Array
    bound: jax.Array

    def prepare(self):
        return self

    def velocity(self, t, state):
        return {"y": -self.rate * state["y"], "z": -(state["z"] ** 2)}

    def observe(self, t, state):
        return {"risk": jnp.sum(state["y"]), "time": t, "z": state["z"]}

    def largest_step(self, state):
        return self.bound


class Explosion(AbstractDynamics):
    """y' = y²: infinite at t = 1."""

    def prepare(self):
        return self

    def velocity(self, t, state):
        return state**2

    def observe(self, t, state):
        return {"risk": state}

    def largest_step(self, state):
        return jnp.asarray(jnp.inf, state.dtype)


def decay(rate=1.0, bound=np.inf, dtype=None):
    dynamics = Decay(jnp.asarray(rate, dtype), jnp.asarray(bound, dtype))
    return dynamics, {"y": jnp.ones(2, dtype), "z": jnp.ones((), dtype)}


def stepping(method="ssprk104", rtol=1e-8, atol=1e-10, **options):
    return Stepping(method, rtol=rtol, atol=atol, **options)


TS = jnp.array([0.0, 0.3, 1.0, 2.5])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ssprk104", "dopri8"])
def test_adaptive_methods(method):
    dynamics, state = decay()
    run = integrate(dynamics, state, TS, stepping(method))
    np.testing.assert_allclose(run.observables["risk"], 2 * np.exp(-TS), rtol=1e-7)
    np.testing.assert_allclose(run.states["z"], 1 / (1 + TS), rtol=1e-7)
    np.testing.assert_allclose(run.final["y"], run.states["y"][-1], rtol=1e-14)
    np.testing.assert_allclose(run.observables["time"], TS, atol=1e-14)
    assert bool(run.succeeded) and bool(jnp.all(run.valid))


def by_equal_steps(method, velocity, state, until, count):
    """The state after `count` steps of one length of the methods that the library hands to diffrax."""
    term = diffrax.ODETerm(lambda t, y, args: velocity(y))
    constant = diffrax.ConstantStepSize()
    out = diffrax.diffeqsolve(term, METHODS[method](), 0.0, until, until / count, state, stepsize_controller=constant)
    return jax.tree.map(lambda leaf: leaf[-1], out.ys)


@pytest.mark.parametrize(("method", "order"), [("ssprk104", 4), ("dopri8", 8)])
def test_order_with_fixed_steps(method, order):
    counts = np.array([2, 4, 8] if method == "dopri8" else [20, 40, 80])
    dynamics, state = decay()
    errors = []
    for count in counts:
        final = by_equal_steps(method, lambda y: dynamics.velocity(0.0, y), state, 2.0, count)
        errors.append(abs(float(final["z"]) - 1 / 3))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    print(f"{method}: errors {errors}, order {slope:.2f}")
    assert slope == pytest.approx(order, abs=0.25 if order < 8 else 1.5)


def test_admissible_steps_are_kept():
    dynamics, state = decay(bound=0.01)
    run = integrate(dynamics, state, TS, stepping(rtol=0.1, atol=0.1))
    # Every stage is made of Euler steps of a sixth: six times the bound, times the safety factor.
    assert 2.5 / 0.06 <= int(run.stats["steps"]) <= 1.2 * 2.5 / 0.054
    free = integrate(*decay(), TS, stepping(rtol=0.1, atol=0.1))
    assert int(free.stats["steps"]) < 20
    assert int(free.stats["steps"]) >= 3  # it lands on every time of the record


def one_step(velocity, state, step):
    """The stages that SSPRK104 visits in one step from t = 0, the new state, and its error."""
    stages = []

    def recorded(t, y, args):
        stages.append(y)
        return velocity(t, y)

    with jax.disable_jit():  # a Python loop over the stages
        new, error, *_ = SSPRK104().step(diffrax.ODETerm(recorded), 0.0, step, state, None, None, False)
    return stages, new, error


def test_two_registers_are_the_published_tableau():
    """Ketcheson's method and the embedded weights of Conde, Fekete & Shadid as a tableau, on a system that is not linear."""

    def velocity(t, y):
        return jnp.stack([y[1] * jnp.cos(t), -jnp.sin(y[0]) + t])

    matrix = np.tril(np.full((10, 10), 1 / 6), -1)
    matrix[5:, :5] = 1 / 15
    embedded = np.array([1 / 5, 0, 0, 3 / 10, 0, 0, 1 / 5, 0, 3 / 10, 0])
    state, step, slopes = np.array([0.3, -1.2]), 0.7, np.zeros((10, 2))
    for i in range(10):
        slopes[i] = velocity(step * matrix[i].sum(), state + step * matrix[i] @ slopes)
    stages, new, error = one_step(velocity, jnp.asarray(state), step)
    assert len(stages) == 10
    np.testing.assert_allclose(new, state + step * slopes.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(error, step * (1 / 10 - embedded) @ slopes, atol=1e-14)


def test_positivity_of_stages():
    """y' = −y stays non-negative with steps of six times the Euler bound, and not with 6.5 times."""
    lowest = [
        float(by_equal_steps("ssprk104", lambda y, rate=rate: -rate * y, jnp.ones(()), 1.0, 1)) for rate in (4.0, 5.0, 6.0)
    ]
    assert min(lowest) >= -1e-16

    def lowest_stage(step):
        stages, _, _ = one_step(lambda t, y: -step * y, jnp.ones(()), 1.0)
        return min(float(stage) for stage in stages)

    assert lowest_stage(6.0) >= -1e-15
    assert lowest_stage(6.5) < -0.01


def test_new_numbers_compile_nothing():
    traces = []

    class Counted(AbstractDynamics):
        rate: jax.Array

        def prepare(self):
            traces.append(1)
            return self

        def velocity(self, t, state):
            return -self.rate * state

        def observe(self, t, state):
            return {"risk": jnp.sum(state)}

        def largest_step(self, state):
            return jnp.asarray(jnp.inf, state.dtype)

    for rate in (1.0, 1.1, 1.2):
        run = integrate(Counted(jnp.asarray(rate)), jnp.ones(2), rate * TS, stepping(rtol=1e-6 / rate))
        assert float(run.final[0]) == pytest.approx(np.exp(-2.5 * rate**2), rel=1e-3)
    assert len(traces) == 1


def test_statuses():
    dynamics, state = decay()
    short = integrate(dynamics, state, TS, stepping(max_steps=6, rtol=1e-10, atol=1e-10))
    assert "used up `max_steps`" in short.sentence()
    assert not bool(short.valid[-1]) and bool(short.valid[0])
    with pytest.raises(mf.SolveError, match="max_steps") as caught:
        require_complete(short, throw=True)
    assert caught.value.solution is short
    assert require_complete(short, throw=False) is short
    explosion = integrate(Explosion(), jnp.ones(()), jnp.array([0.0, 0.5, 1.5]), stepping())
    np.testing.assert_array_equal(explosion.valid, [True, True, False])
    assert not bool(explosion.succeeded) and "Last valid time: 0.5" in explosion.sentence()


def test_states_are_optional():
    run = integrate(*decay(), TS, stepping(save_states=False))
    assert run.states is None
    np.testing.assert_allclose(run.final["y"], np.exp(-2.5), rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("derivative", ["reverse", "forward"])
def test_derivatives(derivative):
    def final(rate):
        dynamics, state = decay()
        dynamics = eqx.tree_at(lambda d: d.rate, dynamics, rate)
        return integrate(dynamics, state, TS, stepping("tsit5", 1e-10, 1e-12, derivative=derivative)).final["y"][0]

    take = jax.grad if derivative == "reverse" else jax.jacfwd
    assert float(take(final)(jnp.asarray(0.7))) == pytest.approx(-2.5 * np.exp(-2.5 * 0.7), rel=1e-8)


@pytest.mark.float32
def test_the_state_decides_the_floating_type():
    dynamics, state = decay(dtype=jnp.float32)
    run = integrate(dynamics, state, TS, stepping(rtol=1e-4, atol=1e-6))
    leaves = jax.tree.leaves((run.ts, run.observables, run.final, run.states))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    np.testing.assert_allclose(run.observables["risk"], 2 * np.exp(-np.asarray(TS)), rtol=2e-4)


def test_cast_leaves_nothing_weakly_typed():
    cast = cast_floats({"x": jnp.asarray(0.5), "n": jnp.asarray(3), "s": "text"}, jnp.dtype("float32"))
    assert cast["x"].dtype == jnp.float32 and not cast["x"].weak_type
    assert cast["n"].dtype == jnp.asarray(3).dtype and cast["s"] == "text"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "rk4"}, "Argument `method` must be one of 'ssprk104'"),
        ({"rtol": -1e-3}, "Argument `rtol` must be a positive number, but is -0.001"),
        ({"atol": "x"}, "Argument `atol`"),
        ({"derivative": "both"}, "Argument `derivative` must be one of 'reverse', 'forward', but is 'both'"),
        ({"max_steps": 0}, "Argument `max_steps` must be an integer of at least 1, but is 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(mf.ArgumentError) as caught:
        stepping(**arguments)
    assert message in str(caught.value)


def test_a_progress_bar_goes_to_stderr(capfd):
    run = integrate(*decay(), TS, stepping(control=Control(progress=True)))
    jax.block_until_ready(run.final)
    captured = capfd.readouterr()
    assert captured.out == "" and "100" in captured.err
