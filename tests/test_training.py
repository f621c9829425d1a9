"""`Training` itself: what it checks, what each route refuses, and finite steps on the particle route."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_cases as cases

import mfsym as mf

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: mf.Training(rate_a=-1.0), "`rate_a` must be a non-negative number, but is -1.0"),
        (lambda: mf.Training(rate_b="fast"), "`rate_b` must be a real number"),
        (lambda: mf.Training(0.0, 0.0), "`rate_a` must be positive where rate_b is 0"),
        (lambda: mf.Training(weight_decay=-0.1), "`weight_decay` must be a non-negative number"),
        (lambda: mf.Training(weight_decay=np.inf), "`weight_decay` must be"),
        (lambda: mf.Training(step=0.0), "`step` must be a positive number"),
        (lambda: mf.Training(step=0.1, momentum=1.0), r"`momentum` must be a number in \[0, 1\)"),
        (lambda: mf.Training(momentum=0.9), "`momentum` must be 0 where `step` is left out"),
        (lambda: mf.UnbalancedStart(-1.0, 1.0), "`norm_a` must be a non-negative number"),
        (lambda: mf.UnbalancedStart(1.0, 0.0), "`norm_b` must be a positive number"),
    ],
)
def test_wrong_arguments(build, words):
    with pytest.raises(mf.ArgumentError, match=words):
        build()


def test_fields_are_leaves_and_may_be_traced():
    training = jax.jit(lambda rate: mf.Training(rate, 1.0, rate, step=rate, momentum=rate))(0.25)
    assert len(jax.tree.leaves(training)) == 6 and len(jax.tree.leaves(mf.Training())) == 4
    assert mf.Training(2.0, 2.0).same_rates and not mf.Training(2.0, 1.0).same_rates
    inside = jax.jit(lambda decay: mf.Training(weight_decay=decay))(0.1)  # constants are traced in there
    assert inside.same_rates and inside.decays and inside.momentum is None and not mf.Training().decays
    jax.grad(lambda rate: 0.0 * rate if mf.Training(rate, rate).same_rates else 1 / 0)(2.0)


REDUCED = cases.reduce(cases.problem())
REFUSED = {
    "unequal rates on a grid": (REDUCED, mf.Training(2.0, 1.0), r"the layers must learn at equal rates \(2 and 1\)"),
    "first layer only on a grid": (REDUCED, mf.Training(rate_a=0.0), "the layers must learn at equal rates"),
    "an unbalanced start on a grid": (
        cases.reduce(cases.problem(cases.OUTSIDE)),
        None,
        "the start must be balanced, a²/rate_a = ‖b‖²/rate_b",
    ),
    "a Gaussian start on a grid": (
        cases.reduce(cases.problem(mf.GaussianStart())),
        mf.Training(),
        "the start must be balanced",
    ),
    "weight decay of unequal rates": (
        cases.reduce(cases.problem(mf.UnbalancedStart(2.0, 1.0))),
        mf.Training(4.0, 1.0, 0.1),
        "weight decay breaks the balance",
    ),
    "a finite step on a grid": (REDUCED, mf.Training(step=0.1), "a finite step cannot be followed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_grid_cannot_hold(name):
    reduced, training, reason = REFUSED[name]
    with pytest.raises(mf.NoReductionError, match=reason) as caught:
        mf.solve_reduced(reduced, jnp.array([0.0, 1.0]), training=training)
    assert 'method="characteristics"' in str(caught.value)


def test_what_no_reduction_holds():
    with pytest.raises(mf.NoReductionError, match=r"coordinate by coordinate .* does not commute with rotations"):
        mf.solve_reduced(REDUCED, jnp.array([0.0, 1.0]), training=optax.adam(0.1))
    with pytest.raises(mf.ArgumentError, match=r"`ts` must be multiples of the step, but is 0\.25 with step 0\.1"):
        cases.solve(REDUCED, mf.Training(step=0.1), ts=(0.0, 0.25, 0.5))
    whole = mf.reduce(mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3)))
    with pytest.raises(mf.NoReductionError, match="only the closed solution of the flow at equal rates"):
        mf.solve_reduced(whole, jnp.array([0.0, 1.0]), training=mf.Training(weight_decay=0.1))
    with pytest.raises(mf.NoReductionError, match="UnbalancedStart is not balanced"):
        mf.reduce(mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3), start=cases.OUTSIDE))


def test_equal_rates_of_the_closed_solution_rescale_time():
    whole, ts = mf.reduce(mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))), jnp.array([0.0, 1.0, 2.0])
    fast, usual = mf.solve_reduced(whole, ts, training=mf.Training(2.0, 2.0)), mf.solve_reduced(whole, 2 * ts)
    np.testing.assert_allclose(fast.risk, usual.risk, rtol=1e-14)
    np.testing.assert_array_equal(fast.ts, ts)


PROBLEM = cases.problem(dim=6)
TS = jnp.array([0.0, 0.5, 1.5])


def test_particle_route_refuses():
    cloud = mf.sphere_cloud(PROBLEM, width=4, key=KEY)
    with pytest.raises(mf.ArgumentError, match="optimisers belong in `descend`"):
        mf.solve_particles(PROBLEM, cloud, TS, training=optax.sgd(0.1))
    with pytest.raises(mf.ArgumentError, match="`step` must be left out where `training` has a step"):
        mf.solve_particles(PROBLEM, cloud, TS, training=mf.Training(step=0.1), step=0.1)
    with pytest.raises(mf.ArgumentError, match="`ts` must be multiples of the step"):
        mf.solve_particles(PROBLEM, cloud, TS, training=mf.Training(step=0.2))


def by_hand(risk, training, cloud, optimiser, steps):
    """Steps of an optax optimiser, without a loop of ours."""
    memory, clouds = optimiser.init(cloud), [cloud]
    for k in range(steps):
        v = risk.at_time(jnp.asarray(k * float(training.step))).velocity(cloud)
        decay = float(training.weight_decay)
        velocity = mf.Particles(training.rate_a * (v.a - decay * cloud.a), training.rate_b * (v.b - decay * cloud.b))
        moves, memory = optimiser.update(jax.tree.map(jnp.negative, velocity), memory, cloud)
        cloud = jax.tree.map(jnp.add, cloud, moves)
        clouds.append(cloud)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *clouds)


@pytest.mark.slow
def test_the_heavy_ball_is_that_of_optax():
    cloud = mf.sphere_cloud(PROBLEM, width=8, key=KEY)
    training = mf.Training(2.0, 0.5, 0.3, step=0.1, momentum=0.7)
    ours = mf.solve_particles(PROBLEM, cloud, TS, training=training, save_states=True, derivative="forward")
    theirs = by_hand(mf.risk_of(PROBLEM).prepare(), training, cloud, optax.sgd(0.1, momentum=0.7), 15)
    assert ours.clock == "step times number of steps" and ours.stats["steps"] == 15
    np.testing.assert_allclose(ours.states.b, theirs.b[jnp.array([0, 5, 15])], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.final.a, theirs.a[-1], rtol=1e-11)
    np.testing.assert_array_equal(ours.ts, TS)


@pytest.mark.slow
def test_gradient_descent_on_fresh_samples():
    cloud, sampling = mf.sphere_cloud(PROBLEM, width=8, key=KEY), {"samples": 32, "key": KEY}
    training = mf.Training(2.0, 0.5, 0.3, step=0.25)
    ours = mf.solve_particles(PROBLEM, cloud, TS, training=training, derivative="forward", **sampling)
    theirs = by_hand(mf.risk_of(PROBLEM, step=0.25, **sampling), training, cloud, optax.sgd(0.25), 6)
    assert ours.clock == "flow time"
    np.testing.assert_allclose(ours.final.b, theirs.b[-1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.final.a, theirs.a[-1], rtol=1e-11)


@pytest.mark.float32
def test_clouds_of_an_unbalanced_start():
    cloud = mf.initial_cloud(cases.problem(cases.OUTSIDE), width=64, key=KEY)
    np.testing.assert_allclose(np.abs(cloud.a), 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(cloud.b, axis=1), 2.0, rtol=1e-6)
    assert int(jnp.sum(cloud.a > 0)) == 32
