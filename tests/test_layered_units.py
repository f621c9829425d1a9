"""Units of named layers and teachers made of them: against plain formulas, and the published experiment.

Values of the risk are those of Gauss–Hermite rules of 80 nodes, computed by scripts that share no code with the library.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid
from maass_fontbona import TEACHERS, UNIT, matrices

import mfsym as mf

GENERATOR = np.random.default_rng(1)
KEY = jax.random.key(0)


def plain_mlp(neuron, x):
    *inner, (last, shift) = zip(neuron["weights"], neuron["biases"], strict=True)
    for weights, bias in inner:
        x = np.tanh(np.asarray(weights) @ x + np.asarray(bias))
    return np.asarray(last) @ x + np.asarray(shift)


UNITS = {
    "matrix": (mf.MatrixUnit(jnp.tanh), 6, lambda z, x: np.tanh(np.asarray(z) @ x)),
    "vectors": (mf.VectorUnit(jnp.tanh, 0.5), 5, lambda z, x: np.asarray(z[1]) * np.tanh(0.5 * np.asarray(z[0]) @ x)),
    "layers": (mf.MLPUnit((4, 5), jnp.tanh), 12 + 4 + 20 + 5 + 10 + 2, plain_mlp),
}


@pytest.mark.float32
@pytest.mark.parametrize(("unit", "size", "plain"), UNITS.values(), ids=UNITS)
def test_outputs_of_clouds_and_teachers(unit, size, plain):
    """A normal start has the shapes of the unit; its network, and the teacher that it is, are means of plain formulas."""
    x = GENERATOR.standard_normal((4, 3))
    problem = mf.Problem(mf.Empirical(x, np.zeros((4, 2))), unit=unit, start=mf.NormalStart(0.5))
    cloud = mf.initial_cloud(problem, width=3, key=KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(cloud)) == 3 * size
    neurons = [jax.tree.map(lambda leaf, j=j: leaf[j], cloud) for j in range(3)]
    expected = [np.mean([plain(neuron, row) for neuron in neurons], axis=0) for row in x]
    tolerance = 1e-13 if jnp.result_type(float) == jnp.float64 else 2e-6
    np.testing.assert_allclose(mf.predict(cloud, x, unit=unit), expected, atol=tolerance)
    taught = mf.Problem(mf.Empirical(x), mf.Teacher(cloud, unit), unit)
    np.testing.assert_allclose(taught.values(taught.inputs.x), expected, atol=tolerance)
    np.testing.assert_allclose(mf.risk_of(taught).value(cloud), 0, atol=tolerance**2)


def test_axes_follow_the_layers():
    """What the axes of every leaf carry, in a tree like a neuron."""
    assert UNITS["matrix"][0].axes("in", "out") == ("out", "in")
    assert UNITS["vectors"][0].axes("in", "out") == (("in",), ("out",))
    deep = UNITS["layers"][0]
    assert deep.axes("in", "out", ("h", "k")) == {
        "weights": (("h", "in"), ("k", "h"), ("out", "k")),
        "biases": (("h",), ("k",), ("out",)),
    }
    assert deep.axes("in", "out", "h") == deep.axes("in", "out", ("h", "h"))
    assert deep.axes("in", "out")["biases"] == ((None,), (None,), ("out",))


AT_ZERO = {"arbitrary": 0.0503484457, "WI": 0.0172527193, "SI": 0.0194316882}
SLOPES = {
    "arbitrary": [[0.0578617570, 0.0463403197], [-0.1306165347, -0.4091465291]],
    "WI": [[-0.1756423861, -0.0421381075], [-0.0421381075, -0.1756423861]],
    "SI": [[-0.1621444389, -0.1038743690], [-0.1038743690, -0.1621444389]],
}


@pytest.mark.parametrize("name", TEACHERS)
def test_the_risk_at_zero_of_the_published_teachers(name):
    """E|½ − f*|², twice the risk here, and its slope, at one neuron 0."""
    risk = mf.risk_of(mf.Problem(mf.cubature(mf.Gaussian(2, 4.0), nodes=80), TEACHERS[name], UNIT))
    zero = jnp.zeros((1, 2, 2))
    np.testing.assert_allclose(2 * risk.value(zero), AT_ZERO[name], atol=1e-9)
    np.testing.assert_allclose(-2 * risk.velocity(zero)[0], SLOPES[name], atol=1e-9)


def test_a_teacher_of_biased_neurons():
    cloud = mf.BiasedParticles([1.0, -2.0], [[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
    x = np.array([0.3, -0.2])
    expected = (np.tanh(0.3 + 0.5) - 2 * np.tanh(-0.2 - 0.5)) / 2
    np.testing.assert_allclose(mf.Teacher(cloud, mf.Neuron(jnp.tanh))(jnp.asarray(x)), expected, rtol=1e-13)


REFUSED = {
    "numbers as values": (
        lambda: mf.Problem(mf.Gaussian(2), mf.FunctionTarget(jnp.sum), UNIT),
        r"`target` must be one whose values are vectors \[c\], as MatrixUnit puts out, but is one with values of shape \[\]",
    ),
    "widths": (lambda: mf.MLPUnit((), sigmoid), "`widths` must be a tuple of one width at least"),
    "hidden": (lambda: UNITS["layers"][0].axes("in", "out", ("h",)), "`hidden` must be one representation for each of 2"),
    "neurons of another unit": (
        lambda: mf.Problem(mf.Gaussian(3), mf.Teacher(matrices(2), UNIT), UNIT),
        "`unit` must be one that maps a neuron and an input",
    ),
    "biases where there are none": (
        lambda: mf.Teacher(mf.BiasedParticles([1.0], [[1.0]], [0.0]), mf.ReLU()),
        "`unit` must be one with a bias, as the neurons are",
    ),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
