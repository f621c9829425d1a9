"""How schemes are asked for: reading out, observing, sampling, exact risks, canonical data, starts, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from maass_fontbona import SWAP, TEACHERS, UNIT, matrices
from symmetric_problems import case, cloud_of, data_of, distance, problem_of, schemes_of

import mfsym as mf
from mfsym.risks import AbstractRisk, MovedSamplesRisk

C2 = case("C2").action
SCHEMES = schemes_of("C2")
KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "name", ["FA", pytest.param("DA", marks=pytest.mark.slow), pytest.param("EA", marks=pytest.mark.slow)]
)
def test_a_run_predicts_with_the_network_of_its_scheme(name):
    """And its last neurons are those that were trained, from which the run goes on."""
    problem, cloud, x, how = problem_of("C2"), cloud_of("C2", 3), np.array([[0.3, -1.0]]), SCHEMES[name]
    run = mf.descend(problem, cloud, 2, learning_rate=0.5, scheme=how, observe=C2)
    network = {"DA": run.final, "EA": C2.project(run.final), "FA": mf.orbit_cloud(run.final, C2)}[name]
    np.testing.assert_allclose(mf.predict(run, x), mf.predict(network, x, unit=UNIT), atol=1e-14)
    risk = mf.risk_of(problem, scheme=how)
    stepped = jax.tree.map(lambda z, v: z + 0.5 * v, cloud, risk.velocity(cloud))
    assert distance(run.final, jax.tree.map(lambda z, v: z + 0.5 * v, stepped, risk.velocity(stepped))) < 1e-14
    np.testing.assert_allclose(run.risk[-1], risk.value(run.final), rtol=1e-13)


def test_distances_to_the_fixed_neurons():
    """RMD² of the published teacher, and of pairs by hand: ½ where nothing is fixed, 0 where everything is."""
    problem = mf.Problem(mf.Empirical(np.eye(2), np.eye(2)), unit=UNIT)
    seen = lambda z: mf.descend(problem, z, 1, learning_rate=1e-30, observe=C2)  # noqa: E731
    np.testing.assert_allclose(seen(TEACHERS["arbitrary"].cloud).rmd_fixed[0], 3.465 / 28.31, rtol=1e-13)
    assert float(seen(TEACHERS["SI"].cloud).rmd_fixed[0]) < 1e-30
    across = jnp.array([[[1.0, 2.0], [-2.0, -1.0]]] * 5)
    run = seen(across)
    np.testing.assert_allclose([run.rmd_fixed[0], run.distance_fixed[0]], [0.5, 10.0**0.5], rtol=1e-13)


def test_the_function_defect_of_a_run():
    """E|f(gx) − g f(x)|² / E|f(x)|² of the neurons themselves, by hand; rounding on a union of orbits that is off E^G."""
    x = np.random.default_rng(1).standard_normal((6, 2))
    problem = mf.Problem(mf.Empirical(x, x[:, ::-1] ** 3), unit=UNIT)
    run = mf.descend(problem, cloud_of("C2", 3), 2, learning_rate=0.5, observe=C2, record_every=2)
    here, there = (np.mean(1 / (1 + np.exp(-np.einsum("mij,nj->nmi", run.final, at))), axis=1) for at in (x, x[:, ::-1]))
    by_hand = np.sum((there - here[:, ::-1]) ** 2) / np.sum(here**2)
    np.testing.assert_allclose(run.function_defect[-1], by_hand, rtol=1e-12)
    asked = mf.symmetry_defect(run.final, C2, inputs=problem.inputs, unit=UNIT)
    assert by_hand > 1e-4 and asked == pytest.approx(by_hand, rel=1e-12)
    closed = mf.orbit_cloud(cloud_of("C2", 2), C2)
    how = mf.DataAugmentation(C2)
    run = mf.descend(problem, closed, 2, learning_rate=0.5, observe=C2, record_every=2, scheme=how)
    assert np.all(run.function_defect < 1e-28) and np.all(run.distance_fixed > 0.01)


def test_sampled_augmentation_has_the_mean_of_the_full_one():
    """Over the steps of one key; every input has an element of its own, and inputs are those of the plain run."""
    problem, cloud = problem_of("C2"), cloud_of("C2", 3)
    options = {"samples": 8, "key": KEY, "step": 1.0}
    risk = mf.risk_of(problem, scheme=mf.DataAugmentation(C2, sampled=True), **options)
    assert isinstance(risk, MovedSamplesRisk)
    values = np.asarray(jax.jit(jax.vmap(lambda t: risk.at_time(t).value(cloud)))(jnp.arange(4000.0)))
    full = float(mf.risk_of(problem, scheme=SCHEMES["DA"]).value(cloud))
    assert abs(values.mean() - full) < 4 * values.std() / np.sqrt(len(values))
    plain = mf.risk_of(problem, **options).at_time(jnp.asarray(3.0))
    moved = risk.at_time(jnp.asarray(3.0))
    swapped = np.array([not np.array_equal(one, other) for one, other in zip(plain.x, moved.x, strict=True)])
    assert 0 < swapped.sum() < 8
    np.testing.assert_array_equal(moved.x, np.where(swapped[:, None], plain.x[:, ::-1], plain.x))
    np.testing.assert_array_equal(moved.y, np.where(swapped[:, None], plain.y[:, ::-1], plain.y))


def mirror():
    """The reflection of R³ across (1, 2, 2)/3, acting on ReLU neurons."""
    v = np.array([1.0, 2.0, 2.0]) / 3
    group = mf.FiniteGroup([1.0, 1.0], np.stack([np.eye(3), np.eye(3) - 2 * np.outer(v, v)]))
    return mf.action(mf.ReLU(), group.inputs, group.outputs)


@pytest.mark.slow
def test_schemes_of_the_exact_risk():
    """The mean of risks, the risk of means and that of fixed neurons, beside clouds that are written out."""
    action, problem = mirror(), mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, -0.5, 0.2]))
    cloud = mf.sphere_cloud(problem, width=4, key=KEY)
    across = np.array([1.0, 2.0, 2.0]) / 3
    image = mf.Particles(cloud.a, cloud.b - 2 * jnp.outer(cloud.b @ across, across))
    plain = mf.risk_of(problem).value
    both = mf.Particles(jnp.concatenate([cloud.a, image.a]), jnp.concatenate([cloud.b, image.b]))
    expected = [
        (plain(cloud) + plain(image)) / 2,
        plain(both),
        plain(mf.Particles(cloud.a, (cloud.b + image.b) / 2)),
    ]
    schemes = [mf.DataAugmentation(action), mf.FeatureAveraging(action), mf.EquivariantArchitecture(action)]
    for how, value in zip(schemes, expected, strict=True):
        risk = mf.risk_of(problem, scheme=how)
        np.testing.assert_allclose(risk.value(cloud), value, rtol=1e-13)
        assert distance(risk.velocity(cloud), jax.tree.map(lambda g: -4 * g, jax.grad(risk.value)(cloud))) < 1e-13


@pytest.mark.slow
def test_a_scheme_inside_of_compiled_code():
    """Runs over several seeds at once: each is that of its own start."""
    problem = problem_of("C2")
    starts = jnp.stack([cloud_of("C2", 3, seed) for seed in range(2)])

    @jax.jit
    def ends(starts):
        return jax.vmap(lambda z: mf.descend(problem, z, 2, learning_rate=0.5, scheme=SCHEMES["FA"], throw=False).final)(
            starts
        )

    alone = mf.descend(problem, starts[1], 2, learning_rate=0.5, scheme=SCHEMES["FA"]).final
    assert distance(ends(starts)[1], alone) < 1e-14


def test_an_averaged_unit_needs_no_equivariance():
    """A rotation moves σ(zx) nowhere by an action on z; averaged over the group it is equivariant all the same."""
    group = mf.cyclic(4)
    action = mf.action(UNIT, group.standard, group.standard)
    assert not mf.equivariance_defect(UNIT, action).holds
    unit, x, z = mf.AveragedUnit(UNIT, action), jnp.array([0.3, -1.0]), matrices(1)[0]
    for g in group.elements:
        np.testing.assert_allclose(unit(z, g @ x), g @ unit(z, x), atol=1e-15)
    by_hand = sum(g.T @ jax.nn.sigmoid(z @ g @ x) for g in group.elements) / 4
    np.testing.assert_allclose(unit(z, x), by_hand, atol=1e-15)


def sorting(x):
    """The swap where the second coordinate is the larger one."""
    return jnp.where(x[1] > x[0], jnp.asarray(SWAP, x.dtype), jnp.eye(2, dtype=x.dtype))


def test_canonical_data_and_their_read_out():
    """Training on them is training of the unit that moves inputs there and outputs back; its networks are equivariant."""
    data, unit = data_of("C2"), mf.MatrixUnit(jnp.tanh)
    moved, read_out = mf.canonical(data, C2, frame=sorting), mf.CanonicalUnit(unit, C2, sorting)
    assert np.all(moved.x[:, 0] >= moved.x[:, 1])
    cloud = cloud_of("C2", 3)
    one = mf.descend(mf.Problem(moved, unit=unit), cloud, 3, learning_rate=0.5)
    other = mf.descend(mf.Problem(data, unit=read_out), cloud, 3, learning_rate=0.5)
    assert distance(one.final, other.final) < 1e-14
    x = data.x
    swapped = mf.predict(one.final, x[:, ::-1], unit=read_out)
    np.testing.assert_allclose(swapped, mf.predict(one.final, x, unit=read_out)[:, ::-1], atol=1e-15)
    np.testing.assert_allclose(mf.predict(one.final, moved.x, unit=unit), mf.predict(one.final, moved.x, unit=read_out))


def test_a_strongly_invariant_start():
    problem = mf.Problem(mf.Empirical(np.eye(2), np.eye(2)), unit=UNIT, start=mf.NormalStart(0.5, fixed_by=C2))
    cloud = mf.initial_cloud(problem, width=20_000, key=KEY)
    np.testing.assert_allclose(cloud, cloud[:, ::-1, ::-1], atol=1e-15)
    assert abs(float(jnp.mean(cloud**2)) - 0.125) < 0.004


class Sizes(AbstractRisk):
    """F = ½ mean |z|²: a risk of a user."""

    def prepare(self):
        return self

    def at_time(self, t):
        return self

    def value(self, state):
        return 0.5 * jnp.mean(jnp.sum(state**2, axis=(1, 2)))

    def velocity(self, state):
        return -state


def test_a_scheme_of_a_risk_of_ones_own():
    """EA forgets what is across: that stays, the fixed part decays."""
    run = mf.solve_particles(None, matrices(3), [0.0, 1.0], risk=Sizes(), scheme=SCHEMES["EA"], step=0.5)
    fixed = C2.project(matrices(3))
    np.testing.assert_allclose(run.final, matrices(3) - fixed + 0.25 * fixed, atol=1e-15)


def rotations():
    group, unit = mf.SO(3), mf.VectorUnit(jnp.tanh)
    return mf.action(unit, group.standard, group.standard), unit


def run_with(scheme, problem=None, **options):
    problem = problem_of("C2") if problem is None else problem
    return mf.descend(problem, cloud_of("C2", 3), 1, learning_rate=0.1, scheme=scheme, **options)


QUARTERS = mf.cyclic(4)
ABSOLUTE = mf.FunctionLoss(lambda f, y: jnp.sum(jnp.abs(f - y)), (3,))
REFUSED = {
    "a unit that is not equivariant": (
        lambda: run_with(mf.EquivariantArchitecture(mf.action(UNIT, QUARTERS.standard, QUARTERS.standard))),
        "`action` must be one under which the unit is equivariant",
    ),
    "a cloud of other shapes": (
        lambda: mf.descend(problem_of("C2"), matrices(4).reshape(8, 2, 1), 1, learning_rate=0.1, scheme=SCHEMES["DA"]),
        "`unit` must be one that maps",
    ),
    "an action of other shapes": (
        lambda: mf.solve_particles(None, jnp.ones((3, 4)), [0.0, 1.0], risk=Sizes(), scheme=SCHEMES["EA"], step=0.5),
        "`risk` must be one|`cloud` must be neurons like",
    ),
    "a loss that rotations change": (
        lambda: mf.risk_of(
            mf.Problem(data_of("SO(2)"), unit=case("SO(2)").unit, loss=ABSOLUTE), scheme=schemes_of("SO(2)")["DA"]
        ),
        "`scheme` must be one whose loss is the same for moved predictions and moved values, but is a FunctionLoss",
    ),
    "sampled without samples": (
        lambda: run_with(mf.DataAugmentation(C2, sampled=True)),
        "`samples` must be given where elements are sampled",
    ),
    "sampled by a quadrature": (
        lambda: mf.DataAugmentation(C2, degree=3, sampled=True),
        "`degree` must be left out where elements are sampled",
    ),
    "averaging by unequal weights": (
        lambda: mf.FeatureAveraging(rotations()[0], degree=4),
        "`action` must be one of a group whose quadrature has equal weights",
    ),
    "a start at one point": (
        lambda: mf.NormalStart(fixed_by=rotations()[0]),
        r"`fixed_by` must be an action that fixes some neurons, but is one of SO\(3\) that fixes only 0",
    ),
    "canonical data without labels": (
        lambda: mf.canonical(mf.Empirical(np.eye(2)), C2, frame=sorting),
        "`data` must be one with labels",
    ),
    "a frame that is none": (
        lambda: mf.canonical(data_of("C2"), C2, frame=lambda x: jnp.eye(2)),
        "`frame` must be one that moves a whole orbit to one place",
    ),
    "an action on other inputs": (
        lambda: mf.descend(problem_of("C2"), cloud_of("C2", 2), 1, learning_rate=0.1, observe=rotations()[0]),
        "`observe` must be an action on inputs of dimension 2",
    ),
    "distances of other neurons": (
        lambda: mf.solve_particles(None, jnp.ones((3, 4)), [0.0, 1.0], risk=Sizes(), observe=C2, step=0.5),
        "`risk` must|`observe` must be made of functions .* fails with ArgumentError",
    ),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
