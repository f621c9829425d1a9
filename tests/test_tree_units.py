"""Units of any neurons and several outputs: against plain formulas, central differences and training written by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import mfsym as mf

DIM, OUT, WIDTH, COUNT = 3, 2, 4, 7
KEY = jax.random.key(0)
GENERATOR = np.random.default_rng(2)
X = GENERATOR.standard_normal((COUNT, DIM))
LABELS = GENERATOR.integers(0, OUT, COUNT)
ONE_HOT = np.eye(OUT)[LABELS]
WEIGHTS = np.arange(1.0, COUNT + 1) / (COUNT * (COUNT + 1) / 2)


def layer(neuron, x):
    """a tanh(w·x + c), a of several outputs."""
    return neuron["a"] * jnp.tanh(jnp.sum(neuron["w"] * x) + neuron["c"])


EXAMPLE = {"a": np.zeros(OUT), "w": np.zeros(DIM), "c": np.zeros(())}
UNIT = mf.FunctionUnit(layer, EXAMPLE)
LOSSES = {
    "square": mf.SquareLoss(),
    "cross entropy": mf.CrossEntropy(),
    "own": mf.FunctionLoss(lambda f, y: jnp.sum(jnp.abs(f - y) ** 3) + f[0] * f[1], (OUT,)),
}


def problem(loss="square", unit=UNIT, weights=None, **options):
    return mf.Problem(mf.Empirical(X, ONE_HOT, weights), unit=unit, loss=LOSSES[loss], start=mf.NormalStart(0.7), **options)


def outputs(cloud, x):
    a, w, c = (np.asarray(cloud[name], float) for name in ("a", "w", "c"))
    return np.tanh(x @ w.T + c) @ a / len(c)


def plain_losses(loss, f):
    if loss == "square":
        return 0.5 * np.sum((f - ONE_HOT) ** 2, axis=1)
    if loss == "own":
        return np.sum(np.abs(f - ONE_HOT) ** 3, axis=1) + f[:, 0] * f[:, 1]
    return scipy.special.logsumexp(f, axis=1) - f[np.arange(COUNT), LABELS]


@pytest.mark.float32
@pytest.mark.parametrize("loss", LOSSES)
def test_value_energy_and_velocity_of_several_outputs(loss):
    """The value in numpy; the velocity beside central differences of that value, times the width."""
    own = problem(loss, weights=WEIGHTS)
    cloud, risk = mf.initial_cloud(own, width=WIDTH, key=KEY), mf.risk_of(own, block_size=3)
    single = cloud["a"].dtype == jnp.float32
    f = outputs(cloud, X)
    tolerance = 2e-6 if single else 1e-13
    np.testing.assert_allclose(risk.value(cloud), WEIGHTS @ plain_losses(loss, f), rtol=tolerance)
    np.testing.assert_allclose(risk.energy(cloud), WEIGHTS @ np.sum(f**2, axis=1), rtol=tolerance)
    velocity, step = risk.velocity(cloud), 1e-6
    for name, index in (("a", (1, 0)), ("a", (2, 1)), ("w", (0, 2)), ("c", (3,))):
        sides = []
        for sign in (1, -1):
            moved = {key: np.array(leaf, float) for key, leaf in cloud.items()}
            moved[name][index] += sign * step
            sides.append(WEIGHTS @ plain_losses(loss, outputs(moved, X)))
        slope = -WIDTH * (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(
            velocity[name][index], slope, rtol=1e-4 if single else 1e-7, atol=1e-6 if single else 1e-9
        )


@pytest.mark.slow
def test_gradients_through_a_run_of_several_outputs():
    """Of the last risk, in the scale of the start and in the labels, against central differences."""
    cloud = mf.initial_cloud(problem(), width=WIDTH, key=KEY)

    def last(s):
        data = mf.Empirical(X, ONE_HOT + s * X[:, :OUT], WEIGHTS)
        own = mf.Problem(data, unit=UNIT)
        start = jax.tree.map(lambda leaf: (1 + s) * leaf, cloud)
        return mf.solve_particles(own, start, [0.0, 0.5], step=0.1).risk[-1]

    value, slope = jax.jit(jax.value_and_grad(last))(0.0)
    run = jax.jit(last)
    np.testing.assert_allclose(slope, (run(1e-5) - run(-1e-5)) / 2e-5, rtol=1e-7)
    assert value < mf.risk_of(problem(weights=WEIGHTS)).value(cloud)


def test_cross_entropy_of_two_classes_is_the_logistic_loss():
    f, y = jnp.asarray(X[:, :2]), jnp.sign(jnp.asarray(X[:, 2]))
    two, one = mf.CrossEntropy(), mf.Logistic()
    p = jnp.stack([(1 + y) / 2, (1 - y) / 2], axis=1)
    np.testing.assert_allclose(jax.vmap(two)(f, p), jax.vmap(one)(f[:, 0] - f[:, 1], y), rtol=1e-13)
    forces = jax.vmap(one.residual)(f[:, 0] - f[:, 1], y)
    np.testing.assert_allclose(jax.vmap(two.residual)(f, p), jnp.stack([forces, -forces], axis=1), atol=1e-14)


def make(key):
    return eqx.nn.MLP(DIM, OUT, 3, 2, activation=jnp.tanh, key=key)


def modules():
    return eqx.filter_vmap(make)(jax.random.split(KEY, WIDTH))


@pytest.mark.float32
def test_an_ensemble_of_deep_networks_trains_as_by_hand():
    """Five steps of an ensemble of three-layer networks, whose mean is trained, beside jax.grad of its loss."""
    networks = modules()
    cloud, rest = eqx.partition(networks, eqx.is_inexact_array)
    rate, own = 0.3, mf.Problem(mf.Empirical(X, ONE_HOT), unit=mf.ModuleUnit(make(KEY)), loss=mf.CrossEntropy())

    def risk(cloud):
        ensemble = eqx.combine(cloud, rest)
        f = jnp.mean(jax.vmap(lambda x: eqx.filter_vmap(lambda network: network(x))(ensemble))(jnp.asarray(X)), axis=1)
        return -jnp.mean(jnp.sum(jnp.asarray(ONE_HOT) * jax.nn.log_softmax(f), axis=1))

    expected, step = cloud, jax.jit(jax.grad(risk))
    for _ in range(5):
        expected = jax.tree.map(lambda z, slope: z - rate * WIDTH * slope, expected, step(expected))
    run = mf.descend(own, cloud, 5, learning_rate=rate)
    tolerance = 1e-12 if jnp.result_type(float) == jnp.float64 else 2e-5
    for found, wanted in zip(jax.tree.leaves(run.final), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(run.risk[0], risk(cloud), rtol=tolerance)
    np.testing.assert_array_equal(mf.predict(run.final, X, unit=own.unit), mf.predict(run, X))


def test_a_normal_start():
    """Entries have the scale, in every leaf; networks of equinox keep their structure."""
    cloud = mf.initial_cloud(problem(), width=40_000, key=KEY)
    assert {name: leaf.shape for name, leaf in cloud.items()} == {"a": (40_000, OUT), "w": (40_000, DIM), "c": (40_000,)}
    for leaf in cloud.values():
        squares = np.asarray(leaf).ravel() ** 2
        assert abs(np.mean(squares) - 0.49) < 4 * np.std(squares) / np.sqrt(squares.size)
    deep = problem(unit=mf.ModuleUnit(make(KEY)))
    drawn = mf.initial_cloud(deep, width=WIDTH, key=KEY, dtype=jnp.float32)
    assert jax.tree.structure(drawn) == jax.tree.structure(eqx.filter(modules(), eqx.is_inexact_array))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}


def test_a_run_is_kept_in_a_file_and_observed(tmp_path):
    own = problem("cross entropy")
    cloud = mf.initial_cloud(own, width=WIDTH, key=KEY)
    run = mf.descend(own, cloud, 2, learning_rate=0.5, observe={"size": lambda z: jnp.mean(z["a"] ** 2)})
    assert run.size.shape == (3,) and float(run.risk[-1]) < float(run.risk[0])
    mf.save(tmp_path / "run.mfsym", run)
    again = mf.load(tmp_path / "run.mfsym", functions={"layer": layer})
    np.testing.assert_array_equal(mf.predict(again, X), mf.predict(run, X))
    assert mf.predict(run, X).shape == (COUNT, OUT)


def test_symmetry_of_several_outputs():
    """E|f(Tx) − f(x)|² / E|f|² of a target with two outputs, by hand."""
    target, flip = mf.FunctionTarget(lambda x: x[:2] + 1.0), mf.Symmetry(1, np.diag([-1.0, 1, 1]))
    found = mf.symmetry_defect(target, flip, inputs=mf.Empirical(X))
    np.testing.assert_allclose(found, np.mean((2 * X[:, 0]) ** 2) / np.mean(np.sum((X[:, :2] + 1) ** 2, axis=1)), rtol=1e-13)


def pair_target():
    return mf.FunctionTarget(lambda x: x[:2])


def cloud_of(**changes):
    return {"a": jnp.ones((WIDTH, OUT)), "w": jnp.ones((WIDTH, DIM)), "c": jnp.ones(WIDTH)} | changes


NO_EXAMPLE = mf.FunctionUnit(layer)
REFUSED = {
    "two outputs of a ReLU": (
        lambda: mf.Problem(mf.Gaussian(3), pair_target()),
        r"`unit` must be .* shape \[2\] of the target's values, but is one with outputs of shape \[\]",
    ),
    "three outputs for two values": (
        lambda: mf.Problem(mf.Empirical(X, ONE_HOT), unit=mf.FunctionUnit(layer, EXAMPLE | {"a": np.zeros(3)})),
        r"`unit` must be .* but is one with outputs of shape \[3\]",
    ),
    "three outputs, seen with the cloud": (
        lambda: mf.solve_particles(problem(unit=NO_EXAMPLE), cloud_of(a=jnp.ones((WIDTH, 3))), [0.0, 1.0]),
        r"`unit` must be .* but is one with outputs of shape \[3\]",
    ),
    "neurons that do not fit": (
        lambda: mf.descend(problem(unit=NO_EXAMPLE), {"a": jnp.ones((WIDTH, OUT))}, 1, learning_rate=0.1),
        "`unit` must be .* but is one that fails on a neuron of this cloud with KeyError",
    ),
    "outputs of another type": (
        lambda: mf.descend(
            problem(unit=mf.FunctionUnit(lambda z, x: layer(z, x).astype(jnp.float16))), cloud_of(), 1, learning_rate=0.1
        ),
        "`unit` must be .* but is one that returns .*float16",
    ),
    "a loss of numbers": (
        lambda: mf.Problem(mf.Empirical(X, ONE_HOT), unit=UNIT, loss=mf.Huber()),
        r"`loss` must be a scalar loss .* but is Huber, with losses of shape \[2\]",
    ),
    "a loss that returns a vector": (
        lambda: mf.FunctionLoss(lambda f, y: f - y, (3,)),
        "`fn` must be .* a real scalar",
    ),
    "a loss of another shape": (
        lambda: mf.Problem(mf.Empirical(X, ONE_HOT), unit=UNIT, loss=mf.FunctionLoss(lambda f, y: f[2] * y[0], (3,))),
        r"`loss` must be one of predictions of shape \[2\], but is a FunctionLoss of shape \[3\]",
    ),
    "classes as integers": (
        lambda: mf.Problem(mf.Empirical(X, LABELS), loss=mf.CrossEntropy()),
        r"`loss` must be .* CrossEntropy needs vectors \[k\].*jax.nn.one_hot\(y, k\)",
    ),
    "no probabilities": (
        lambda: mf.Problem(mf.Empirical(X, 2 * ONE_HOT), unit=UNIT, loss=mf.CrossEntropy()),
        "`y` must be probabilities of classes",
    ),
    "a function that is no law of classes": (
        lambda: mf.Problem(mf.Gaussian(3), pair_target(), UNIT, mf.CrossEntropy()),
        "`target` must be probabilities of classes",
    ),
    "reduce": (
        lambda: mf.reduce(mf.Problem(mf.Gaussian(3), pair_target(), UNIT)),
        r"no reduced equation here: the values of the target are arrays of shape \[2\]",
    ),
    "detect": (lambda: mf.detect(pair_target(), mf.Gaussian(3)), "`fn` must be .* that returns a real scalar"),
    "exact risk": (
        lambda: mf.risk_of(mf.Problem(mf.Gaussian(3), pair_target(), UNIT)),
        "`problem.unit` must be 1-homogeneous",
    ),
    "a normal start of a ridge unit": (
        lambda: mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(1), start=mf.NormalStart()),
        r"`start` must be a law of \(a, b\) .* Use mf.GaussianStart",
    ),
    "a normal start without an example": (
        lambda: mf.initial_cloud(problem(unit=NO_EXAMPLE), width=2, key=KEY),
        "`problem.unit` must be one with an example",
    ),
    "no module": (lambda: mf.ModuleUnit(jnp.tanh), "`module` must be a callable equinox module"),
    "NaN": (lambda: mf.Neuron(jnp.log), "`activation` must be finite between .* but is one that is -inf at 0"),
    "another dtype": (lambda: mf.Neuron(lambda z: z.astype(jnp.float16)), "`activation` must be .* that returns float16"),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
