"""Training under a symmetry: what stays together at every width, what must come apart, and by how much.

Numbers of runs are those of scripts that share no code with the library; E|f − f*|² there is twice the risk here.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from maass_fontbona import TEACHERS, UNIT, fixed_matrices, matrices
from symmetric_problems import CASES, case, cloud_of, distance, marks_of, problem_of, schemes_of

import mfsym as mf

C2 = case("C2").action
DECAY = mf.Training(step=1.0, weight_decay=1e-4)
INPUTS = mf.cubature(mf.Gaussian(2, 4.0), nodes=32)
INDEX = np.arange(4)
START = jnp.asarray(fixed_matrices(0.35 * np.stack([np.cos(INDEX), np.sin(2 * INDEX + 1)], axis=1) / np.sqrt(2)))
SCHEMES = {"vanilla": None} | schemes_of("C2")


def trained(teacher, scheme, cloud=START, until=500.0, training=DECAY, **options):
    problem = mf.Problem(INPUTS, TEACHERS[teacher], UNIT)
    return mf.solve_particles(
        problem, cloud, [0.0, until], training=training, scheme=SCHEMES[scheme], observe=C2, derivative="forward", **options
    )


TABLE = {  # twice the risk after 500 steps; the relative distance, squared, of plain training to the fixed matrices
    "WI": (2.622408472e-5, 2.622408472e-5, 0.0),
    "SI": (1.191108229e-5, 1.191108229e-5, 0.0),
    "arbitrary": (2.049635834e-5, 3.312207038e-2, 9.883806381e-2),
}
FIRST = {"WI": (0.2269159540, 0.3479218205), "SI": (0.2375628055, 0.3299040219), "arbitrary": (0.2269159540, 0.3479218205)}


@pytest.mark.slow
@pytest.mark.parametrize("teacher", TABLE)
def test_five_hundred_steps_from_fixed_matrices(teacher):
    """DA = FA = EA for every teacher, and the plain run too where the data are symmetric; risks and a neuron by value."""
    runs = {scheme: trained(teacher, scheme) for scheme in SCHEMES}
    plain, together, away = TABLE[teacher]
    np.testing.assert_allclose(2 * runs["vanilla"].risk[-1], plain, atol=1e-9 * max(1, plain))
    np.testing.assert_allclose([2 * runs[s].risk[-1] for s in ("DA", "FA", "EA")], together, rtol=1e-9)
    np.testing.assert_allclose(runs["vanilla"].rmd_fixed[-1], away, atol=1e-10 if away else 1e-30)
    np.testing.assert_allclose(runs["EA"].final[0, 0], FIRST[teacher], atol=1e-10)
    others = [runs[s].final for s in SCHEMES if s != "EA" and (s != "vanilla" or not away)]
    apart = max(distance(runs["EA"].final, other) for other in others)
    print(f"{teacher}: schemes differ by {apart:.1e}")
    assert apart < 1e-12


def test_some_steps_of_the_published_experiment():
    """A small member of the table: the arbitrary teacher, 20 steps, EA beside DA, and plain training, which leaves."""
    runs = {scheme: trained("arbitrary", scheme, until=20.0) for scheme in ("vanilla", "DA", "EA")}
    assert distance(runs["DA"].final, runs["EA"].final) < 1e-14 and float(runs["EA"].distance_fixed[-1]) < 1e-14
    assert float(runs["vanilla"].rmd_fixed[-1]) > 1e-3


FROM_AN_ORBIT = {"WI": (2.250519096e-5, 2.250519096e-5), "arbitrary": (3.799654094e-5, 3.311835148e-2)}
ORBITS_ARE = {"WI": pytest.mark.slow, "arbitrary": pytest.mark.study}


@pytest.mark.parametrize("teacher", [pytest.param(n, marks=m, id=n) for n, m in ORBITS_ARE.items()])
def test_runs_from_an_orbit(teacher):
    """Two matrices and their images, 200 steps: FA = DA; plain training joins for symmetric data, and else opens orbits."""
    orbit = mf.orbit_cloud(matrices(2), C2)
    plain, averaged = FROM_AN_ORBIT[teacher]
    runs = {scheme: trained(teacher, scheme, orbit, until=200.0) for scheme in ("vanilla", "DA", "FA")}
    np.testing.assert_allclose(2 * runs["vanilla"].risk[-1], plain, rtol=1e-7)
    np.testing.assert_allclose([2 * runs[s].risk[-1] for s in ("DA", "FA")], averaged, rtol=1e-9)
    opened = distance(runs["vanilla"].final[::2], runs["vanilla"].final[1::2, ::-1, ::-1])
    assert opened < 1e-14 if teacher == "WI" else abs(opened - 0.45) < 0.01
    few = trained(teacher, "FA", matrices(2), until=200.0).final
    assert distance(few, runs["FA"].final[::2]) < 1e-14
    if teacher == "WI":
        assert distance(few, runs["vanilla"].final[::2]) < 1e-13


@pytest.mark.study
def test_adaptive_steps_keep_the_schemes_together():
    """Fifty random matrices, flow time 500: pairwise differences below 1e-12."""
    cloud = C2.project(0.25 * jax.random.normal(jax.random.key(0), (50, 2, 2)))
    runs = {scheme: trained("WI", scheme, cloud, training=mf.Training(weight_decay=1e-4)) for scheme in SCHEMES}
    assert max(distance(runs["EA"].final, run.final) for run in runs.values()) < 1e-12
    assert float(max(run.rmd_fixed[-1] for run in runs.values())) < 1e-24


@pytest.mark.float32
@pytest.mark.parametrize("name", [pytest.param(n, marks=marks_of(n), id=n) for n in CASES])
def test_a_strongly_invariant_start_is_kept_by_all_schemes(name):
    """At three neurons: on symmetric data plain training, DA, FA and EA are one run; on others plain training leaves."""
    action, steps, rate = case(name).action, 30, 0.4
    start = action.project(cloud_of(name, 3))
    problem = problem_of(name, symmetric=True)
    runs = [
        mf.descend(problem, start, steps, learning_rate=rate, scheme=how, record_every=steps, observe=action)
        for how in (None, *schemes_of(name).values())
    ]
    single = jnp.result_type(float) == jnp.float32
    apart = max(distance(runs[-1].final, run.final) for run in runs)
    print(f"{name}: {apart:.1e} apart after {steps} steps that moved neurons by {distance(start, runs[-1].final):.2f}")
    assert apart < (1e-5 if single else 1e-12) and distance(start, runs[-1].final) > 0.01
    assert max(float(run.distance_fixed[-1]) for run in runs) < (1e-5 if single else 1e-12)
    away = mf.descend(problem_of(name), start, steps, learning_rate=rate, record_every=steps, observe=action)
    assert float(away.distance_fixed[-1]) > 1e-2


@pytest.mark.parametrize(
    "scheme", ["DA", pytest.param("FA", marks=pytest.mark.slow), pytest.param("EA", marks=pytest.mark.slow)]
)
def test_the_risk_of_a_scheme_never_rises(scheme):
    """200 steps of 1.0 without decay, twenty matrices: each scheme descends its own risk."""
    cloud = 0.25 * jax.random.normal(jax.random.key(1), (20, 2, 2))
    problem = mf.Problem(INPUTS, TEACHERS["arbitrary"], UNIT)
    risk = mf.solve_particles(problem, cloud, np.arange(0.0, 201.0, 2.0), step=1.0, scheme=SCHEMES[scheme]).risk
    assert np.all(np.diff(risk) < 0)


def _oblique():
    """The reflection of the plane in an oblique line, and a pair of vectors as unit."""
    normal = np.array([np.sin(0.3), -np.cos(0.3)])
    group, unit = mf.generate(jnp.array(np.eye(2) - 2 * np.outer(normal, normal))), mf.VectorUnit(jnp.tanh)
    return mf.action(unit, group.standard, group.standard), unit


def test_adam_leaves_where_coordinates_mix(standard_promotion):
    """From fixed neurons and on symmetric data Adam keeps those of a swap, and leaves those of an oblique reflection."""
    for action, unit, kept in ((C2, UNIT, True), (*_oblique(), False)):
        x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 2)))
        elements, _ = action.quadrature()
        rows = jnp.concatenate([action.move_input(g, x) for g in elements])
        labels = jnp.concatenate([action.move_output(g, jnp.sin(2 * x)) for g in elements])
        problem = mf.Problem(mf.Empirical(rows, labels), unit=unit)
        shapes = action.shapes(jnp.result_type(float))
        cloud = jax.tree.map(lambda s: jax.random.normal(jax.random.key(s.shape[0]), (3, *s.shape)), shapes)
        start = action.project(cloud)
        options = {"record_every": 30, "observe": action}
        plain = mf.descend(problem, start, 30, learning_rate=0.1, **options)
        adam = mf.descend(problem, start, 30, optimiser=optax.adam(0.03), **options)
        assert float(plain.distance_fixed[-1]) < 1e-13
        assert (float(adam.distance_fixed[-1]) < 1e-10) == kept
        assert kept or float(adam.distance_fixed[-1]) > 1e-2


@eqx.filter_jit
def _end_of_noisy_run(problem, scheme, cloud, key, width, steps):
    training = mf.Training(step=100.0 / width, weight_decay=1e-4, temperature=5e-7, confine=C2)
    ts = [0.0, 100.0 / width * steps]
    options = {"samples": 20, "key": key, "observe": C2, "derivative": "forward", "throw": False}
    return mf.solve_particles(problem, cloud, ts, training=training, scheme=scheme, **options).rmd_fixed[-1]


def noisy_distance(teacher, scheme, width, seeds=5):
    """The mean over seeds of RMD² after the time of the paper, of minibatches of 20 and confined noise, all at once."""
    problem, steps = mf.Problem(mf.Gaussian(2, 4.0), TEACHERS[teacher], UNIT), 20 * width
    keys = jax.random.split(jax.random.key(width), seeds)
    starts = jax.vmap(lambda key: C2.project(0.25 * jax.random.normal(key, (width, 2, 2))))(keys)
    run = eqx.filter_vmap(_end_of_noisy_run, in_axes=(None, None, 0, 0, None, None))
    return float(jnp.mean(run(problem, scheme, starts, jax.random.split(keys[0], seeds), width, steps)))


@pytest.mark.slow
def test_minibatches_leave_where_full_augmentation_does_not():
    """A small member of the study below."""
    assert noisy_distance("WI", None, 10) > 1e-3
    assert noisy_distance("arbitrary", SCHEMES["DA"], 50, seeds=2) < 1e-20


@pytest.mark.study
def test_minibatches_leave_as_the_width_says():
    """Plain minibatches leave E^G at small widths, sampled augmentation too, full augmentation and the others never."""
    sampled = mf.DataAugmentation(C2, sampled=True)
    narrow, wide = (noisy_distance("WI", None, width) for width in (10, 100))
    print(f"WI, plain: {narrow:.1e} at 10, {wide:.1e} at 100")
    assert narrow > 1e-3 and wide < 3e-4 and narrow > 10 * wide
    some, many = (noisy_distance("arbitrary", sampled, width) for width in (10, 500))
    print(f"arbitrary, sampled DA: {some:.1e} at 10, {many:.1e} at 500")
    assert some > 3e-2 and many < 6e-3
    for scheme in ("DA", "FA", "EA"):
        assert noisy_distance("arbitrary", SCHEMES[scheme], 50) < 1e-20


@pytest.mark.study
def test_exact_relu_leaves_at_its_rate():
    """f* = |v·x| and neurons across v: rounding grows along e^{κt}, κ about 0.45, and only EA stays for ever."""
    v = np.array([1.0, 2.0, 2.0]) / 3
    mirror = mf.FiniteGroup([1.0, 1.0], np.stack([np.eye(3), np.eye(3) - 2 * np.outer(v, v)]))
    action = mf.action(mf.ReLU(), mirror.inputs, mirror.outputs)
    problem = mf.Problem(mf.Gaussian(3), mf.Rotated(mf.SingleIndex(jnp.abs), mf.complete_basis(v[None])))
    start = action.project(mf.sphere_cloud(problem, width=32, key=jax.random.key(0)))
    start = mf.Particles(start.a, start.b / jnp.linalg.norm(start.b, axis=1, keepdims=True))
    times = np.array([0.0, 1.0, 10.0, 20.0, 30.0, 40.0, 80.0])
    options = {"observe": action, "derivative": "forward"}
    plain = mf.solve_particles(problem, start, times, **options)
    rate = np.log(plain.distance_fixed[5] / plain.distance_fixed[3]) / 20
    print(f"distances {np.asarray(plain.distance_fixed)}, rate {rate:.3f}")
    assert plain.distance_fixed[1] < 1e-14 and plain.distance_fixed[-1] > 0.3 and plain.risk[-1] < 0.1
    assert abs(rate - 0.45) < 0.05
    fixed = mf.solve_particles(problem, start, times, scheme=mf.EquivariantArchitecture(action), **options)
    assert fixed.distance_fixed[-1] < 1e-13
    assert fixed.risk[-1] > (1 - 2 / np.pi) / 4  # half of the least of all strongly invariant laws, 1 − 2/π
