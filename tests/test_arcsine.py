"""The exact risk of erf neurons, beside cubature, data drawn in numpy and central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from particle_problems import random_cloud

import mfsym as mf

DIM, WIDTH = 2, 5
ERF = mf.Neuron(jax.scipy.special.erf, bias=False)
FACTOR = np.array([[1.0, 0.0], [0.4, 0.7]])
TURN = np.linalg.qr(np.random.default_rng(3).standard_normal((DIM, DIM)))[0]
LAWS = {
    "Gaussian": mf.Gaussian(DIM, 0.8),
    "GaussianBlocks": mf.GaussianBlocks((1, 1), (0.9, 0.6)),
    "GaussianCovariance": mf.GaussianCovariance(0.5 * FACTOR @ FACTOR.T),
}


def small(width, seed=0):
    """Neurons for which Gauss rules of 40 nodes resolve erf."""
    cloud = random_cloud(width, DIM, seed)
    return mf.Particles(cloud.a, 0.4 * cloud.b)


TARGETS = {
    "LinearTarget": lambda: mf.LinearTarget([0.5, -1.0]),
    "SingleIndex": lambda: mf.SingleIndex(lambda z: z**3 - 2 * z + jnp.sin(z), kinks=()),
    "Teacher": lambda: mf.Teacher(small(3, 5), ERF),
    "Rotated": lambda: mf.Rotated(mf.SingleIndex(lambda z: z**3 - z), TURN),
}
FAST = [("Gaussian", "Teacher"), ("GaussianCovariance", "Rotated")]  # of all terms; the others compile the same again
SLOW = [("Gaussian", "LinearTarget"), ("Gaussian", "SingleIndex"), ("Gaussian", "Rotated"), ("GaussianBlocks", "Teacher")]
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.float32
@pytest.mark.parametrize(("law", "target"), CASES)
def test_the_exact_risk_is_that_of_cubature(law, target):
    """Value, velocity and energy, relative to the largest, to 1e-10."""
    inputs, f, cloud = LAWS[law], TARGETS[target](), small(WIDTH)
    exact = mf.risk_of(mf.Problem(inputs, f, ERF), block_size=2)
    data = mf.risk_of(mf.Problem(mf.cubature(inputs, nodes=40), f, ERF))
    tolerance = 1e-10 if cloud.dtype == jnp.float64 else 3e-5
    everything = jax.jit(
        lambda cloud: [(risk.value(cloud), risk.velocity(cloud), risk.energy(cloud)) for risk in (exact, data)]
    )
    for found, wanted in zip(*map(jax.tree.leaves, everything(cloud)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max()))


def test_kinks_and_gradients_of_the_target():
    """|x_1| against 200 000 inputs in numpy; the derivative in a parameter of g against central differences."""
    cloud = small(WIDTH)

    def risk(s):
        target = mf.SingleIndex(lambda z: jnp.abs(z) + s * z**2)
        return mf.risk_of(mf.Problem(mf.Gaussian(DIM, 0.8), target, ERF)).value(cloud)

    from scipy.special import erf

    x = 0.8 * np.random.default_rng(0).standard_normal((200_000, DIM))
    losses = (erf(x @ np.asarray(cloud.b).T) @ np.asarray(cloud.a) / WIDTH - np.abs(x[:, 0])) ** 2 / 2
    assert abs(float(risk(0.0)) - losses.mean()) < 4 * losses.std() / np.sqrt(len(losses))
    run = jax.jit(risk)
    np.testing.assert_allclose(jax.grad(risk)(0.3), (run(0.3 + 1e-5) - run(0.3 - 1e-5)) / 2e-5, rtol=1e-7)


@pytest.mark.slow
def test_a_student_learns_a_teacher_of_erf_neurons():
    """The exact flow, and descent on fresh samples around it (Saad & Solla 1995, wide)."""
    problem = mf.Problem(mf.Gaussian(DIM), mf.Teacher(small(3, 5), ERF), ERF, start=mf.GaussianStart())
    cloud = mf.initial_cloud(problem, width=32, key=jax.random.key(0))
    run = mf.solve_particles(problem, cloud, [0.0, 5.0, 10.0], derivative="forward")
    assert float(run.risk[-1]) < 0.5 * float(run.risk[0]) and np.all(np.diff(run.risk) < 0)
    fresh = mf.solve_particles(problem, cloud, [0.0, 5.0, 10.0], samples=2000, step=0.05, key=jax.random.key(1))
    assert abs(float(mf.risk_of(problem).value(fresh.final) - run.risk[-1])) < 0.05 * float(run.risk[0])


REFUSED = {
    "a sphere": (mf.Sphere(2), mf.LinearTarget(np.ones(2)), ERF, "`problem.inputs` must be Gaussian"),
    "a norm": (mf.Gaussian(2), mf.SubspaceNorm(1), ERF, "`problem.target` must be one that erf neurons have"),
    "a teacher of ReLU": (mf.Gaussian(2), mf.Teacher(small(2)), ERF, "`problem.target` must be one that erf neurons have"),
    "a student of ReLU": (mf.Gaussian(2), mf.Teacher(small(2), ERF), mf.ReLU(), "`problem.target` must be one whose exact"),
    "a bias": (
        mf.Gaussian(2),
        mf.LinearTarget(np.ones(2)),
        mf.Neuron(jax.scipy.special.erf),
        "`problem.unit` must be 1-homogeneous",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refusals(case):
    with pytest.raises(mf.ArgumentError, match=case[-1]):
        mf.risk_of(mf.Problem(*case[:3]))
