"""Labels of any unit and loss beside networks on fresh inputs: the verdicts, and clouds that are drawn from labels."""

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf

import mfsym as mf
from mfsym.particles.ensemble import solve_ensemble
from mfsym.reduced.orbits.build import check_orbits
from mfsym.sharding import stack_lanes
from mfsym.solution import lane

TIMES, STEP = (0.0, 0.5, 1.0, 2.0), 0.1
WIDTHS = (128, 512, 2048)
ACTIVATIONS = {
    "GELU": lambda z: jax.nn.gelu(z, approximate=False),
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
    "erf": erf,
}
START = mf.BiasedStart(mf.UnbalancedStart(1.0, 1.5), 0.3)
SQUARE, LOGISTIC = mf.SquareLoss(), mf.Logistic()
GAUSS, SPHERE = mf.Gaussian(6), mf.Sphere(6, 2.0)  # on the sphere ‖x_H‖ is bounded, as probabilities are
TARGETS = {
    ("radial", "square"): (GAUSS, mf.SubspaceNorm(3, 0.6), SQUARE, 16),
    ("radial", "logistic"): (SPHERE, mf.SubspaceNorm(3, 0.45), LOGISTIC, 16),
    ("single index", "square"): (GAUSS, mf.SingleIndex(lambda z: 1 + jnp.cos(z)), SQUARE, 16),
    ("single index", "logistic"): (GAUSS, mf.SingleIndex(lambda z: jnp.tanh(1 + 2 * z)), LOGISTIC, 16),
    ("two indices", "square"): (GAUSS, mf.MultiIndex(lambda z: jnp.tanh(z[0] * z[1] + z[0]), 2), SQUARE, 8),
    ("two indices", "logistic"): (GAUSS, mf.MultiIndex(lambda z: jnp.tanh(z[0] * z[1] + z[0]), 2), LOGISTIC, 8),
}
CASES = list(itertools.product(ACTIVATIONS, TARGETS))


def problem_of(name, kind):
    """The problem, and labels per angle that resolve it."""
    inputs, target, loss, nodes = TARGETS[kind]
    return mf.Problem(inputs, target, unit=mf.Neuron(ACTIVATIONS[name]), loss=loss, start=START), nodes


@functools.cache
def checked(name, kind):
    """The report on a problem, its reduction, and the run of any reduction like it."""
    problem, nodes = problem_of(name, kind)
    report = mf.cross_check(problem, TIMES, widths=WIDTHS, seeds=8, samples=512, step=STEP, nodes=nodes)
    print(name, *kind, report)
    return report, mf.reduce(problem, nodes=nodes)


def verdict(report, reduced):
    """On another reduction, beside the same clouds."""
    wrong = mf.solve_reduced(reduced, TIMES, training=mf.Training(step=STEP), derivative="forward")
    judgement = mf.judge(wrong, report.runs)
    print(judgement.sentence)
    return judgement.verdict


FEW = [("softplus", ("single index", "square"))]


def case_of(name, kind):
    marks = pytest.mark.slow if (name, kind) in FEW else pytest.mark.study
    return pytest.param(name, kind, marks=marks, id=f"{name}, {', '.join(kind)}")


@pytest.mark.parametrize(("name", "kind"), [case_of(*case) for case in CASES])
def test_networks_agree_with_labels(name, kind):
    report, _ = checked(name, kind)
    assert report.verdict == "agree" and list(report.judgements) == ["characteristics"]
    compared = set(report.judgements["characteristics"].comparisons)
    assert compared == {"risk", "a_squared", "b_h_squared", "b_perp_squared", "bias_mean", "bias_squared"}


@pytest.mark.slow
def test_biases_that_do_not_move_are_refused():
    """They would show nothing of themselves: what is left to compare are the risk and the sizes of a and b."""
    report, reduced = checked(*FEW[0])
    assert verdict(report, dataclasses.replace(reduced, biased=False)) == "disagree"


@pytest.mark.slow
def test_the_mean_direction_in_place_of_the_average_is_refused():
    report, reduced = checked(*FEW[0])
    still = eqx.tree_at(lambda r: r.average.omega, reduced, jnp.zeros_like(reduced.average.omega))
    assert verdict(report, still) == "disagree"


@pytest.mark.study
def test_the_kernel_route_beside_networks_on_fresh_inputs():
    """Steps of labels on the angle beside networks that see 512 inputs at a time, their distances too."""
    problem = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
    report = mf.cross_check(problem, TIMES[:3], widths=(32, 128, 512), seeds=8, samples=512, step=STEP, nodes=63, modes=16)
    print(report)
    assert report.verdict == "agree" and "predictor_distance" in report.judgements["characteristics"].comparisons


@pytest.mark.slow
def test_every_network_draws_inputs_of_its_own():
    problem, _ = problem_of("tanh", ("single index", "square"))
    keys = jax.random.split(jax.random.key(3), 4)
    starts = [mf.initial_cloud(problem, width=8, key=key) for key in keys[:2]]
    training = mf.Training(step=STEP)
    found = solve_ensemble(problem, stack_lanes(starts), jnp.array([0.0, 0.2]), training=training, samples=5, keys=keys[2:])
    for index, start in enumerate(starts):
        own = mf.solve_particles(
            problem, start, [0.0, 0.2], training=training, samples=5, key=keys[2 + index], derivative="forward"
        )
        run = lane(found, index)
        assert all(np.allclose(run.observables[name], values, rtol=1e-12) for name, values in own.observables.items())
        assert np.allclose(run.final.b, own.final.b, rtol=1e-12)


def test_what_has_no_closed_risk_needs_samples():
    problem, nodes = problem_of("tanh", ("single index", "square"))
    with pytest.raises(mf.ArgumentError, match="samples"):
        mf.cross_check(problem, TIMES, nodes=nodes)
    with pytest.raises(mf.ArgumentError, match="step"):
        mf.cross_check(problem, TIMES, nodes=nodes, samples=8)


# Clouds that are drawn from labels -----------------------------------------------------------------------------------


ROTATION = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
INDEX = mf.SingleIndex(jnp.cos)
STRUCTURES = {
    "norm": (mf.Gaussian(6), mf.SubspaceNorm(2)),
    "rotated index": (mf.Gaussian(6), mf.Rotated(INDEX, ROTATION)),
    "two indices": (mf.Sphere(6), mf.MultiIndex(lambda z: z[0] * z[1], 2)),
    "norms": (mf.Gaussian(6), mf.BlockNorms((2, 4))),
    "what is left in two blocks": (mf.GaussianBlocks((1, 2, 3), (1.0, 2.0, 0.5)), INDEX),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_lifted_points_have_their_coordinates(name):
    """Directions inside a block are uniform: second moments I/d_i within four standard errors."""
    inputs, target = STRUCTURES[name]
    blocks = check_orbits(mf.Problem(inputs, target, unit=mf.Neuron(jnp.tanh)))
    signs = np.where(blocks.kept, -1.0, 1.0)
    points = jnp.asarray(np.broadcast_to(signs * np.arange(1, len(signs) + 1.0), (2000, len(signs))))
    b = blocks.lift(points, jax.random.key(0))
    assert np.allclose(blocks.coordinates(b), points, atol=1e-13)
    for axis, dim in zip(np.arange(len(signs)), blocks.dims, strict=True):
        part = np.asarray(blocks.components(b)[axis]) / np.abs(points[0, axis])
        moments, error = part.T @ part / len(part), 4 / dim / np.sqrt(len(part))
        assert np.allclose(np.linalg.eigvalsh(moments)[-dim:], 1 / dim, atol=2 * error)


def test_a_rotated_index_is_not_the_first_axis():
    blocks = check_orbits(mf.Problem(*STRUCTURES["rotated index"], unit=mf.Neuron(jnp.tanh)))
    x = np.random.default_rng(1).standard_normal((4, 6))
    first = x @ ROTATION[0]
    across = np.sqrt(np.sum(x**2, axis=1) - first**2)
    assert np.allclose(blocks.coordinates(jnp.asarray(x)), np.stack([first, across], axis=1), atol=1e-12)


@pytest.mark.slow
def test_clouds_of_labels_are_as_the_run():
    """Means of a cloud within four standard errors of the run, and its output within that of its neurons."""
    problem, _ = problem_of("tanh", ("single index", "square"))
    run = mf.solve_reduced(
        mf.reduce(problem, nodes=12), [0.0, 0.5, 2.0], training=mf.Training(step=0.5), derivative="forward"
    )
    cloud = mf.sample_cloud(run, 2.0, width=4096, key=jax.random.key(0))
    assert isinstance(cloud, mf.BiasedParticles)
    found = {
        "a_squared": cloud.a**2,
        "b_h_squared": cloud.b[:, 0] ** 2,
        "b_perp_squared": jnp.sum(cloud.b[:, 1:] ** 2, axis=1),
        "bias_mean": cloud.bias,
        "bias_squared": cloud.bias**2,
    }
    x = problem.inputs.sample(jax.random.key(1), 3)
    outputs = cloud.a[:, None] * np.tanh(cloud.b @ x.T + cloud.bias[:, None])
    pairs = [(np.asarray(values), run.observables[name][-1]) for name, values in found.items()]
    pairs += [(column, value) for column, value in zip(np.asarray(outputs).T, mf.predict(run, x), strict=True)]
    for values, expected in pairs:
        assert abs(values.mean() - float(expected)) < 4 * values.std() / np.sqrt(cloud.width)
    start = mf.sample_cloud(run, 0.0, width=64, key=jax.random.key(0))
    assert np.array_equal(start.a, np.repeat([1.0, -1.0], 32)) and np.allclose(np.linalg.norm(start.b, axis=1), 1.5)
