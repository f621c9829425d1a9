"""The exact risk: its velocity, coincident neurons, single precision, derivatives, memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from particle_problems import DIM, clustered_cloud, random_cloud, repeated
from particle_problems import EXACT as PROBLEMS

import mfsym as mf
from mfsym.integrate import cast_floats
from mfsym.particles.risk import risk_of
from mfsym.particles.risk.kernel import arc_cosine, arcsine, sine


def flat(cloud):
    return np.asarray(ravel_pytree(cloud)[0], dtype=float)


def central_differences(function, cloud, step):
    """Derivative of a function of a cloud along every coordinate, as the last axis."""
    z, back = ravel_pytree(cloud)
    moves = step * np.eye(z.size)
    return np.stack([(function(back(z + move)) - function(back(z - move))) / (2 * step) for move in moves], axis=-1)


def coincident_cloud():
    """Neurons that coincide in direction, and opposite ones."""
    start = random_cloud(4, seed=3)
    return mf.Particles(jnp.tile(start.a, 3), jnp.concatenate([start.b, 2 * start.b, -start.b]))


@pytest.mark.float32
def test_arcsine_against_numpy():
    ends = 1 - np.logspace(-15, -1, 50)
    q = jnp.asarray(np.concatenate([np.linspace(-1, 1, 4001), ends, -ends, np.logspace(-20, -1, 40)]))
    tolerance = 4 * jnp.finfo(q.dtype).eps
    exact = np.asarray(q, dtype=float)
    np.testing.assert_allclose(jax.jit(arcsine)(q), np.arcsin(exact), rtol=tolerance)
    np.testing.assert_allclose(sine(q), np.sqrt((1 - exact) * (1 + exact)), rtol=tolerance)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(arc_cosine)))(q), jax.jit(arcsine)(q), rtol=tolerance)


@pytest.mark.parametrize("name", PROBLEMS)
def test_velocity_is_the_gradient(name):
    """The velocity against −m times central differences of the value along every coordinate."""
    risk, cloud = risk_of(PROBLEMS[name]), random_cloud(7)
    found = flat(risk.velocity(cloud))
    expected = -cloud.width * central_differences(risk.value, cloud, 1e-5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.max(np.abs(found)))


@pytest.mark.parametrize("name", ["norm", "tanh, leaky"])
def test_grad_of_the_value_is_the_velocity(name):
    """To rounding, where neurons coincide too: the value has its own derivative."""
    risk, cloud = risk_of(PROBLEMS[name]), coincident_cloud()
    automatic = -cloud.width * flat(jax.jit(jax.grad(lambda cloud: risk.value(cloud)))(cloud))
    found = flat(risk.velocity(cloud))
    np.testing.assert_allclose(found, automatic, rtol=0, atol=1e-13 * np.max(np.abs(found)))


def test_coincident_neurons_move_as_one():
    """A law does not change when its atoms are written several times: neither do value and velocity."""
    risk, cloud = risk_of(PROBLEMS["norm"]), random_cloud(4)
    twice = repeated(cloud, 3)
    np.testing.assert_allclose(risk.value(twice), risk.value(cloud), rtol=1e-14)
    expected = flat(repeated(risk.velocity(cloud), 3))
    np.testing.assert_allclose(flat(risk.velocity(twice)), expected, rtol=0, atol=1e-14 * np.max(np.abs(expected)))


def test_velocity_at_the_poles_and_at_zero():
    """b in H, in H^⊥ and b = 0: finite, and the limit of what is around, its mean over directions at 0."""
    b = np.zeros((7, DIM))
    b[0, 0], b[1, -1], b[2, 0], b[3, 0], b[4:6] = 1.0, 2.0, -1.5, 1.0, 0.3
    cloud = mf.Particles(jnp.asarray([1.0, -1.0, 0.5, 1.0, -0.7, 0.2, 1.0]), jnp.asarray(b))
    for name in ("tanh, leaky", "norm"):
        risk = risk_of(PROBLEMS[name])
        found = risk.velocity(cloud)
        move = 1e-9 * np.random.default_rng(0).standard_normal(b.shape)
        near = [risk.velocity(mf.Particles(cloud.a, jnp.asarray(b + sign * move))) for sign in (1, -1)]
        mean = jax.tree.map(lambda plus, minus: (plus + minus) / 2, *near)
        np.testing.assert_allclose(flat(found), flat(mean), rtol=0, atol=1e-7)
    derivative = jax.jit(jax.grad(lambda cloud: jnp.sum(risk.velocity(cloud).b ** 2) + risk.value(cloud)))
    assert np.all(np.isfinite(flat(derivative(cloud))))


CLOUDS = {
    "random": lambda: random_cloud(512, 30),
    "clustered 0.1": lambda: clustered_cloud(512, 30, 1e-1),
    "clustered 1e-3": lambda: clustered_cloud(512, 30, 1e-3),
    "clustered 1e-5": lambda: clustered_cloud(512, 30, 1e-5),
    "duplicated": lambda: repeated(random_cloud(128, 30), 4),
}
SINGLE = {
    "norm": mf.Problem(mf.Gaussian(30), mf.SubspaceNorm(5)),
    "tanh": mf.Problem(mf.Gaussian(30), mf.SingleIndex(jnp.tanh), unit=mf.LeakyReLU(0.1)),
}


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("name", SINGLE)
def test_float32_against_float64(cloud, name):
    risk, single = risk_of(SINGLE[name]), cast_floats(CLOUDS[cloud](), jnp.float32)
    found = risk.velocity(single)
    assert found.a.dtype == found.b.dtype == jnp.float32
    assert risk.value(single).dtype == jnp.float32
    expected = risk.velocity(cast_floats(single, jnp.float64))
    for mine, right in ((found.a, expected.a), (found.b, expected.b)):
        right = np.asarray(right)
        np.testing.assert_allclose(np.asarray(mine, dtype=float), right, rtol=0, atol=5e-6 * np.max(np.abs(right)))


@pytest.mark.float32
@pytest.mark.parametrize("name", PROBLEMS)
def test_value_and_velocity_keep_the_type_of_the_cloud(name):
    risk, cloud = risk_of(PROBLEMS[name]), random_cloud(7)
    velocity = risk.velocity(cloud)
    assert risk.value(cloud).dtype == velocity.a.dtype == velocity.b.dtype == cloud.dtype
    assert np.all(np.isfinite(flat(velocity)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["norm", "tanh, leaky"])
def test_derivative_of_the_velocity(name):
    """Finite and right in forward and reverse mode, on the diagonal and where neurons coincide or are opposite."""
    risk, cloud = risk_of(PROBLEMS[name]), coincident_cloud()
    z, back = ravel_pytree(cloud)

    def velocity(z):
        return ravel_pytree(risk.velocity(back(z)))[0]

    forward, reverse = jax.jit(jax.jacfwd(velocity))(z), jax.jit(jax.jacrev(velocity))(z)
    scale = float(jnp.max(jnp.abs(forward)))
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-12 * scale)
    expected = central_differences(lambda cloud: flat(risk.velocity(cloud)), cloud, 1e-6)
    np.testing.assert_allclose(forward, expected, rtol=0, atol=1e-6 * scale)


def test_hessian_limit_on_the_diagonal():
    """The neuron's own kernel: −m ∂²F/∂b² tends to a²/2m for ReLU, besides the target's part. (Derived.)"""
    cloud = mf.Particles(jnp.asarray([1.7]), jnp.asarray([[0.3, -0.5, 1.1]]))
    nothing = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(1, 0.0))
    jacobian = jax.jacfwd(lambda b: risk_of(nothing).velocity(mf.Particles(cloud.a, b)).b)(cloud.b)
    np.testing.assert_allclose(jacobian[0, :, 0], -(1.7**2) / 2 * np.eye(3), atol=1e-13)


def test_a_student_equal_to_its_teacher_has_no_risk():
    """Neither risk nor velocity; it holds the energy of the target against the kernel."""
    cloud, unit = random_cloud(7), mf.LeakyReLU(0.3)
    risk = risk_of(mf.Problem(mf.Gaussian(DIM, 1.7), mf.Teacher(cloud, unit), unit=unit))
    assert abs(float(risk.value(cloud))) < 1e-14
    assert np.max(np.abs(flat(risk.velocity(cloud)))) < 1e-14


def temporary_bytes(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.processor
@pytest.mark.parametrize("what", ["value", "velocity", "derivative"])
def test_memory_grows_with_the_neurons_only(what):
    risk = risk_of(SINGLE["norm"])
    functions = {
        "value": risk.value,
        "velocity": risk.velocity,
        "derivative": jax.grad(lambda cloud: jnp.sum(risk.velocity(cloud).b ** 2)),
    }
    function = functions[what]
    sizes = [temporary_bytes(lambda cloud: function(cloud), random_cloud(width, 30)) for width in (512, 2048)]
    print(f"temporary memory of the {what} at m = 512 and 2048: {sizes[0]} and {sizes[1]} bytes")
    assert sizes[1] <= 5 * sizes[0]


def test_parameters_of_a_problem_can_be_differentiated():
    """g's own arrays, scales and slopes, against central differences."""

    class Bump(eqx.Module):
        centre: jax.Array

        def __call__(self, z):
            return jnp.tanh(z - self.centre)

    def value(parameters):
        centre, scale, slope = parameters
        target = mf.SingleIndex(Bump(centre))
        problem = mf.Problem(mf.Gaussian(DIM, scale), target, unit=mf.LeakyReLU(slope))
        return risk_of(problem).value(random_cloud(9))

    parameters = jnp.asarray([0.3, 1.2, 0.1])
    step, compiled = 1e-5, jax.jit(value)
    expected = [
        (compiled(parameters.at[i].add(step)) - compiled(parameters.at[i].add(-step))) / (2 * step) for i in range(3)
    ]
    np.testing.assert_allclose(jax.jit(jax.grad(value))(parameters), expected, rtol=1e-8)
