"""Labels (a, q) in any number of angles: one block is the line, gradients, clouds, and what comes back to clouds."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.reduced.angles.labels import LabelDynamics, LabelState
from mfsym.reduced.angles.law import log_density
from mfsym.reduced.choose import dynamics_of
from mfsym.reduced.several.tensor_grid import BlockGridDynamics

DIM, TIMES = 8, (0.0, 0.5, 2.0)
NORMS = mf.BlockNorms((2, 3), (1.0, 2.0))
COORDINATES = mf.MultiIndex(lambda z: jnp.abs(z[0]) + jnp.tanh(z[1]), 2)
STRETCHED = mf.GaussianBlocks((1, 5), (2.0, 0.5))
UNEQUAL = mf.Training(2.0, 0.5, 0.1)


def reduction(target=NORMS, inputs=None, start=None, nodes=15, modes=8):
    problem = mf.Problem(inputs or mf.Gaussian(DIM), target, start=start or mf.SphereStart())
    return mf.reduce(problem, cells=16, nodes=nodes, modes=modes)


def points(reduced, count=6):
    """Random coordinates of neurons; norms of blocks may have either sign, as after a finite step."""
    return jax.random.normal(jax.random.key(3), (count, reduced.angles + 1))


@pytest.mark.parametrize(
    ("line", "block"),
    [
        (mf.SubspaceNorm(3), mf.BlockNorms((3,))),
        (mf.SingleIndex(jax.nn.softplus, kinks=()), mf.MultiIndex(lambda z: jax.nn.softplus(z[0]), 1)),
    ],
    ids=["radial", "signed"],
)
@pytest.mark.parametrize(
    "start",
    [mf.SphereStart(0.7, 0.4), pytest.param(mf.GaussianStart(0.5, 2.0), marks=pytest.mark.slow)],
    ids=["balanced", "Gaussian"],
)
def test_one_block_is_the_line(line, block, start):
    systems = [
        LabelDynamics(reduction(target, start=start), jnp.array([2.0, 0.5]), jnp.asarray(0.3), jnp.zeros(2)).prepare()
        for target in (line, block)
    ]
    states = [system.initial_state() for system in systems]
    np.testing.assert_allclose(states[0].q, states[1].q, atol=1e-15)
    noise = LabelState(*(jax.random.normal(jax.random.key(5), leaf.shape) for leaf in jax.tree.leaves(states[0])))
    moved = jax.tree.map(jnp.add, states[0], noise)
    first, second = (eqx.filter_jit(system.velocity)(jnp.zeros(()), moved) for system in systems)
    np.testing.assert_allclose(second.a, first.a, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(second.q, first.q, rtol=1e-9, atol=1e-9)
    one, other = (eqx.filter_jit(system.observe)(jnp.zeros(()), moved) for system in systems)
    for name in ("risk", "mass_plus", "mass_minus"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9)


@pytest.mark.parametrize(
    "reduced",
    [
        pytest.param(functools.partial(reduction, COORDINATES, nodes=7), marks=pytest.mark.slow),
        functools.partial(reduction, COORDINATES, STRETCHED, nodes=7),
    ],
    ids=["isotropic", "stretched"],
)
def test_the_gradient_of_the_potential(reduced):
    reduced = reduced()
    where, weights = points(reduced), jnp.linspace(-1.0, 1.0, 6)
    forces = reduced.forces(reduced.moments(reduced.angles_of_points(where), weights))
    value = eqx.filter_jit(lambda q: reduced.potential(q, forces)[0])
    height, gradient = reduced.potential(where, forces)
    np.testing.assert_allclose(value(3 * where), 3 * height, rtol=1e-12)
    for axis in range(3):
        step = 1e-5 * jnp.eye(3)[axis][None]
        np.testing.assert_allclose((value(where + step) - value(where - step)) / 2e-5, gradient[:, axis], atol=1e-7)


@pytest.mark.slow
def test_the_potential_of_stretched_inputs_is_a_mean_over_inputs():
    # Without neurons Φ(q) = E[f*(x) σ(b·x)].
    reduced = reduction(COORDINATES, STRETCHED, nodes=7, modes=12).all_modes()
    where = jnp.array([[0.7, -0.4, 1.1], [-1.0, 0.2, 0.1]])
    found, _ = reduced.potential(where, reduced.forces(jnp.zeros_like(reduced.coefficients)))
    x = np.asarray(STRETCHED.sample(jax.random.key(0), 100_000))
    target = np.abs(x[:, 0]) + np.tanh(x[:, 1])
    for q, height in zip(np.asarray(where), np.asarray(found), strict=True):
        sample = target * np.maximum(x[:, :3] @ q, 0.0)  # b = (q_0, q_1, q_2, 0, 0, 0)
        assert abs(np.mean(sample) - height) < 4 * np.std(sample) / np.sqrt(len(sample))
    # ½E (|x_0| + tanh x_1)² = ½(4 + E tanh²(z/2)), z ~ N(0, 1)
    risk = reduced.risk(jnp.zeros_like(reduced.coefficients)) + reduced.tail
    assert float(risk) == pytest.approx(2.0867580717, rel=1e-9)


def test_densities_and_atoms_of_the_start():
    reduced = reduction(nodes=7)
    system = BlockGridDynamics(reduced)
    state = system.initial_state()
    angles = jnp.array([[0.9, 0.8], [1.2, 0.6]])
    law = sum(log_density(np.asarray(angles[:, a]), (2, 3)[a], (6, 3)[a], False) for a in range(2))
    np.testing.assert_allclose(system.density(state, angles), 0.5 * np.exp(law) * np.ones((2, 1)), rtol=2e-2)
    np.testing.assert_allclose(jnp.sum(system.atoms(state).weights, axis=1), 0.5, rtol=1e-12)


@pytest.mark.slow
def test_the_limiter_of_several_angles_is_differentiated():
    """Densities that fall to nothing within a cell, where polynomials are pulled to their means."""
    system = BlockGridDynamics(reduction(nodes=7)).prepare()
    start = system.initial_state()
    rows = np.arange(16.0)[None, :, None] + 2 * np.arange(16.0)[None, None, :]
    state = start * np.where(rows % 7 < 3, 1e-3, 1.0 + 0.1 * np.sin(rows))
    factor = system.limiter_factor(state, system.reconstruct(state))
    assert np.mean(factor < 0.999) > 0.05
    direction = state * np.cos(1.7 * rows)
    velocity = eqx.filter_jit(lambda s: system.velocity(jnp.zeros(()), s))
    _, slope = eqx.filter_jit(jax.jvp)(velocity, (state,), (direction,))
    differences = (velocity(state + 1e-6 * direction) - velocity(state - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(slope, differences, atol=1e-6 * float(jnp.max(jnp.abs(differences))))


def test_what_is_refused_in_several_angles():
    reduced = reduction(nodes=7)
    with pytest.raises(mf.NoReductionError, match="on a grid of angles the layers must learn at equal rates"):
        mf.solve_reduced(reduced, jnp.asarray(TIMES), training=UNEQUAL)
    with pytest.raises(mf.NoReductionError, match="must be balanced"):
        mf.solve_reduced(reduction(start=mf.UnbalancedStart(0.5, 2.0), nodes=7), jnp.asarray(TIMES), method="grid")
    with pytest.raises(mf.NoReductionError, match="isotropic inputs"):
        mf.solve_reduced(reduction(COORDINATES, STRETCHED, nodes=7), jnp.asarray(TIMES), method="grid")
    with pytest.raises(mf.NoReductionError, match="cut through"):
        reduction(NORMS, mf.GaussianBlocks((1, 7), (2.0, 0.5)))
    with pytest.raises(mf.NoReductionError, match="does not keep the blocks"):
        reduction(mf.Rotated(NORMS, jnp.eye(DIM)), mf.GaussianBlocks((2, 6), (2.0, 0.5)))
    with pytest.raises(mf.ArgumentError, match="equal in"):
        mf.stack([reduced, reduction(nodes=9)])
    assert mf.stack([reduced, reduced]).coefficients.shape[0] == 2


class Case:
    """A problem in two angles with a training that no grid holds, and clouds of it."""

    def __init__(self, start, training, inputs=None, target=NORMS):
        self.problem = mf.Problem(inputs or mf.Gaussian(DIM), target, start=start)
        self.training, self.parts = training, (target, inputs, start)

    @functools.cached_property
    def exact(self):
        reduced = reduction(*self.parts, nodes=23, modes=10)
        return mf.solve_reduced(
            reduced, jnp.asarray(TIMES), training=self.training, method="characteristics", derivative="forward"
        )


CASES = {
    "unbalanced start, unequal rates, decay": Case(mf.UnbalancedStart(0.5, 2.0), UNEQUAL),
    "stretched inputs": Case(mf.SphereStart(), None, STRETCHED, mf.BlockNorms((1, 2))),
}
MARKS = (pytest.mark.slow, pytest.mark.study)  # one member is kept for every change
EACH = [pytest.param(name, marks=mark) for name, mark in zip(CASES, MARKS, strict=True)]


@pytest.mark.parametrize("name", EACH)
def test_two_angles_against_clouds(name):
    case = CASES[name]
    risks = []
    for seed in range(4):
        key = jax.random.key(seed)
        cloud = mf.initial_cloud(case.problem, width=768, key=key)
        run = mf.solve_particles(case.problem, cloud, jnp.asarray(TIMES), training=case.training, derivative="forward")
        risks.append(np.asarray(run.risk))
    mean, error = np.mean(risks, axis=0), np.std(risks, axis=0, ddof=1) / 2
    print(f"{name}: reduced {np.asarray(case.exact.risk)}, clouds {mean} ± {error}")
    bias = 4 * np.asarray(case.exact.risk)[0] / 768  # E f_m² − E f² is of order 1/m
    assert np.all(np.abs(case.exact.risk - mean) < 5 * error + bias)
    assert float(case.exact.risk[0]) == pytest.approx({"stretched inputs": 3.25}.get(name, float(mean[0])), rel=1e-2)
    assert np.all(np.abs(case.exact.risk - mean)[1:] < 0.1 * np.asarray(case.exact.risk)[1:])


@pytest.mark.parametrize("name", EACH)
def test_clouds_drawn_from_labels(name):
    case = CASES[name]
    cloud = mf.sample_cloud(case.exact, TIMES[-1], width=4000, key=jax.random.key(1))
    x = case.problem.inputs.sample(jax.random.key(2), 5)
    each = np.asarray(cloud.a)[:, None] * np.maximum(np.asarray(cloud.b) @ np.asarray(x).T, 0.0)
    error = np.std(each, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(mf.predict(case.exact, x) - np.mean(each, axis=0)) < 4 * error + 1e-2 * np.abs(each.mean(axis=0)))
    masses = [np.mean(np.maximum(sign * cloud.a, 0) * np.linalg.norm(cloud.b, axis=1)) for sign in (1.0, -1.0)]
    np.testing.assert_allclose(masses, [case.exact.mass_plus[-1], case.exact.mass_minus[-1]], rtol=0.1)
    angles = jnp.array([[0.3, 0.4], [0.9, 1.2]])
    step = jnp.array([[1e-5, 0.0]])
    slope = (mf.potential(case.exact, angles + step) - mf.potential(case.exact, angles - step)) / 2e-5
    np.testing.assert_allclose(mf.drift(case.exact, angles)[:, 0], slope, rtol=1e-5)


def test_the_balanced_form_where_decay_keeps_it():
    reduced = reduction(nodes=7)
    assert type(dynamics_of(reduced, "grid", mf.Training(weight_decay=0.1), 1e-6)) is BlockGridDynamics
    assert type(dynamics_of(reduced, "characteristics", UNEQUAL, 1e-6)) is LabelDynamics
    # (log c)' = a'/a + q·q'/‖q‖² and u' is the part of q'/‖q‖ across q.
    training = mf.Training(0.7, 0.7, 0.2)
    balanced = dynamics_of(reduced, "characteristics", training, 1e-6)
    labels = LabelDynamics(reduced, jnp.array([0.7, 0.7]), jnp.asarray(0.2), jnp.zeros(2)).prepare()
    state, expected = labels.initial_state(), eqx.filter_jit(balanced.velocity)(jnp.zeros(()), balanced.initial_state())
    found = eqx.filter_jit(labels.velocity)(jnp.zeros(()), state)
    square = jnp.sum(state.q**2, axis=-1)
    radial = jnp.sum(state.q * found.q, axis=-1) / square
    np.testing.assert_allclose((found.a / state.a + radial)[:, 0], expected.log_weight, rtol=1e-9)
    across = (found.q - radial[..., None] * state.q) / jnp.sqrt(square)[..., None]
    np.testing.assert_allclose(across[:, 0], expected.point, atol=1e-10)
