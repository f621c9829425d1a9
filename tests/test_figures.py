"""The published experiments, small: limits against references, networks against limits, and what is drawn of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from matplotlib.patches import StepPatch

import mfsym as mf
from mfsym.figures import (
    FIGURES,
    clouds,
    deep,
    dimension,
    discovery,
    distances,
    fresh_samples,
    histograms,
    images,
    labels,
    long_time,
    masses,
    noether,
    odd,
    perpendicular,
    staircase,
    teachers,
)
from mfsym.figures.base import run_each

KEY = jax.random.key(0)


def curves(ax):
    """How many lines, and how many rows of markers without a line, an axes shows."""
    drawn = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    marked = [line for line in drawn if line.get_linestyle() == "None"]
    return len(drawn) - len(marked), len(marked)


def test_every_experiment_has_a_sentence():
    assert all(experiment.sentence and name == name.lower() for name, experiment in FIGURES.items())


def test_run_each_keeps_order_and_floating_type():
    """Threads do not see a floating type that was set in a `with` block, so it is handed on."""
    assert run_each(lambda n: 10 * n, range(5)) == [0, 10, 20, 30, 40]
    for double in (True, False):
        with jax.enable_x64(double):
            assert run_each(lambda n: jnp.zeros(n).dtype, (1, 2)) == [jnp.zeros(1).dtype] * 2
    with pytest.raises(ZeroDivisionError):
        run_each(lambda n: 1 / n, (1, 0))


# Odd targets.


def test_odd_is_drawn():
    """The limit is in closed form; the networks are invented."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(4), mf.LinearTarget([1.0, 2.0, 0.0, 0.0])), structure="odd")
    exact, ts = mf.solve_reduced(reduced, jnp.linspace(0.0, 2.0, 9)), np.linspace(0.0, 2.0, 5)
    networks = np.outer([1.0, 0.5], 1 + ts)
    axes = FIGURES["odd"].draw(odd.OddRecord(exact, ts, networks, networks, networks, (8, 32))).axes
    assert [curves(ax) for ax in axes] == [(1, 2), (2, 2), (0, 2)]
    np.testing.assert_array_equal(axes[0].get_lines()[0].get_ydata(), exact.risk)
    np.testing.assert_array_equal(axes[2].get_lines()[1].get_ydata(), networks[1])


@pytest.mark.slow
def test_odd_networks_follow_the_moment_equation():
    """Until t = 2 networks differ from the limit by the noise of their start, w of m independent neurons: E‖w‖² = 1/(4m)."""
    widths = (16, 64)
    record = odd.compute(KEY, widths=widths, steps=200)
    away = np.linalg.norm(np.asarray(record.exact.w) - np.asarray(record.exact.model.optimum), axis=1)
    assert away[0] == pytest.approx(np.sqrt(6 * 60 / 5), rel=1e-12)
    for i, width in enumerate(widths):
        limit = np.interp(record.ts, record.exact.ts, away)
        np.testing.assert_allclose(record.distance[i], limit, rtol=0, atol=5 * np.sqrt(1 / (4 * width)))
        assert np.all(record.risk[i] >= 0.4 + record.nonlinear[i] / 2 - 1e-9)
        # Even part of m neurons with balanced signs at the start: E f² = Var|b·x|/(4m) = (1 − 2/π)/(4 m d).
        assert 0.5 < record.nonlinear[i][0] * 4 * 60 * width / (1 - 2 / np.pi) < 2


# Angles of the neurons.


@pytest.fixture(scope="module")
def angles():
    return histograms.compute(KEY, steps=(0, 20, 200), width=32, cells=100)


@pytest.mark.slow
def test_histograms_of_both_routes(angles):
    """At t = 1 the limit has the masses of the reference, and the cloud is where 200 clouds with m = 32 are.

    Their difference from the limit has mean −3.2 % and standard deviation 0.66 % in τ⁺, −1.2 % and 0.66 % in τ⁻.
    """
    exact, network = ([float(run.mass_plus[2]), float(run.mass_minus[2])] for run in angles)
    np.testing.assert_allclose(exact, references.REFERENCE_RUN[1][:2], rtol=1e-4)
    difference = np.array(network) / exact - 1
    assert np.all(np.abs(difference - [-0.032, -0.012]) < 4.5 * 0.0066)


@pytest.mark.slow
def test_histograms_are_drawn(angles):
    """Bars hold the mass of the network, the line that of the limit."""
    axes = np.array(FIGURES["histograms"].draw(angles).axes).reshape(2, 3)
    for row, name in zip(axes, ("mass_plus", "mass_minus"), strict=True):
        for i, ax in enumerate(row):
            (line,), (bars,) = ax.get_lines(), [patch for patch in ax.patches if isinstance(patch, StepPatch)]
            heights, edges, _ = bars.get_data()
            theta, values = line.get_data()
            exact, network = (float(run.observables[name][i]) for run in angles)
            assert np.sum(heights * np.diff(edges)) == pytest.approx(network, rel=1e-5)
            assert np.sum((values[1:] + values[:-1]) / 2 * np.diff(theta)) == pytest.approx(exact, rel=1e-3)
    assert axes[0, 1].get_title() == "step 20, $t=0.1$"
    assert "network, $m=32$" in [text.get_text() for text in axes[1, -1].get_legend().get_texts()]


# Distances over time.


@pytest.fixture(scope="module")
def limit():
    return distances.compute(KEY, widths=(), limit_end=3.5, cells=100)


@pytest.mark.slow
def test_distances_against_references(limit):
    times = np.asarray(limit.exact.ts)
    for t in (0, 1, 3):
        mass_plus, mass_minus, distance_plus, distance_minus, _ = references.REFERENCE_RUN[t]
        found = [np.interp(t, times, limit.exact.observables[name]) for name in distances.NAMES]
        np.testing.assert_allclose(found, [distance_plus, distance_minus, mass_plus, mass_minus], rtol=2e-4)
    assert limit.alpha == pytest.approx(references.alpha(5), rel=1e-12)
    assert limit.crossing == pytest.approx(3.42, abs=0.02)  # published: 680 steps of 5e-3; derived: 3.42 ± 0.02


def test_crossing_time():
    ts = np.array([0.0, 1.0, 2.0, 3.0])
    assert distances.crossing_time(ts, np.array([0.0, 1.0, 3.0, 1.0]), 2.0) == 1.5
    assert np.isnan(distances.crossing_time(ts, ts, 3.0))


def test_distances_are_drawn(limit):
    """Invented networks: two widths, three seeds."""
    ts = np.linspace(0.0, 3.0, 40)
    shift = np.array([[0.9, 1.0, 1.1], [0.98, 1.0, 1.02]])[:, :, None]
    networks = {name: shift * np.interp(ts, limit.exact.ts, limit.exact.observables[name]) for name in distances.NAMES}
    record = limit._replace(ts=ts, networks=networks, widths=(8, 32))
    position, mass = FIGURES["distances"].draw(record).axes
    assert curves(position) == curves(mass) == (2, 12)
    assert position.get_xscale() == position.get_yscale() == mass.get_yscale() == "log"
    exact = np.abs(limit.alpha - np.asarray(limit.exact.mass_plus))
    np.testing.assert_array_equal(mass.get_lines()[0].get_ydata(), exact)
    assert record.crossings.shape == (2, 3) and np.isfinite(record.crossings[0, 2])


@pytest.mark.slow
def test_distances_of_networks(limit):
    """At t = 1: the bias of order 1/m is taken out with two widths; what is left is at most 4.5 standard errors."""
    record = distances.compute(KEY, widths=(64, 128), seeds=8, end=1.0, limit_end=3.5, cells=100)
    for name in distances.NAMES:
        values = record.networks[name][:, :, -1]
        exact = np.interp(1.0, limit.exact.ts, limit.exact.observables[name])
        variance = values.var(axis=1, ddof=1) / values.shape[1]
        extrapolated, error = 2 * values[1].mean() - values[0].mean(), np.sqrt(4 * variance[1] + variance[0])
        print(f"{name}: exact {exact:.5f}, extrapolated {extrapolated:.5f} ± {error:.5f}")
        assert abs(extrapolated - exact) < 4.5 * error < 0.2 * exact


# Masses against d_H.


@pytest.fixture(scope="module")
def limits():
    return masses.compute(KEY, dims=(2, 10, 20), network_dims=())


@pytest.mark.slow
def test_masses_against_references(limits):
    """Against explicit steps of 5e-3 from the same start, and the published values, with their known deviations."""
    for k, (plus, minus) in zip(limits.dims, limits.exact, strict=True):
        _, published, euler = references.DIM_40_TABLE[k]
        assert published == masses.PUBLISHED[k]
        assert plus == pytest.approx(euler[0], rel=2e-4) and plus == pytest.approx(published[0], rel=6e-3)
        assert 0.0 < minus / euler[1] - 1 < 0.045 and 0.02 < minus / published[1] - 1 < 0.05


def test_masses_are_drawn(limits):
    """Invented networks for two d_H, three seeds."""
    networks = np.stack([np.array([[0.99], [1.0], [1.01]]) * limits.exact[i] for i in (0, 2)])
    record = limits._replace(network_dims=(2, 20), networks=networks)
    plus, minus, difference = FIGURES["masses"].draw(record).axes
    assert curves(plus) == (2, 2) and curves(minus) == (1, 2) and curves(difference)[1] == 4
    ours, published = [line for line in difference.get_lines() if line.get_linestyle() == "None"][:2]
    np.testing.assert_allclose(ours.get_ydata(), [-1, 0, 1] * 2, atol=1e-12)
    assert published.get_ydata()[1] == pytest.approx(100 * (masses.PUBLISHED[10][0] / limits.exact[1, 0] - 1))


@pytest.mark.slow
def test_masses_of_networks():
    """Within 4.5 standard errors of the limit and its bias, measured as 14/m of τ⁻ and 0.6/m of τ⁺ for d_H = 10 and 20."""
    record = masses.compute(KEY, dims=(10,), network_dims=(10,), width=256, seeds=4)
    labels = mf.solve_reduced(mf.reduce(masses.problem_of(10), modes=32), jnp.array([0.0, 10.0]), method="characteristics")
    np.testing.assert_allclose(record.exact[0], [labels.mass_plus[-1], labels.mass_minus[-1]], rtol=1e-5)
    networks, exact = record.networks[0], record.exact[0]
    error = networks.std(axis=0, ddof=1) / np.sqrt(len(networks))
    difference = np.abs(networks.mean(axis=0) - exact)
    print(f"m·difference {256 * difference / exact}, m·standard error {256 * error / exact}")
    assert np.all(difference < 4.5 * error + np.array([1.0, 20.0]) / 256 * exact)


# Predictors along H^⊥.


@pytest.fixture(scope="module")
def across():
    return perpendicular.compute(KEY, steps=(20, 200), seeds=0)


@pytest.mark.slow
def test_perpendicular_against_references(across):
    """The reference took explicit steps in (|a|‖b‖, θ) and one more than it counts: 5 % off early, 0.5 % late."""
    early, late = (across.exact[list(across.steps).index(step)] for step in (20, 200))
    np.testing.assert_allclose(early[[0, -1]], [0.2146, 0.9079], rtol=0.05)
    np.testing.assert_allclose(late[[0, -1]], [0.8710, 1.6499], rtol=0.005)
    np.testing.assert_allclose(across.exact[0], 0.0, atol=1e-12)


def test_perpendicular_is_drawn(across):
    """Invented networks: three of them, around the limit."""
    networks = np.stack([0.9 * across.exact, across.exact, 1.1 * across.exact])
    radius, steps = perpendicular.draw(across._replace(networks=networks), steps=(20, 200)).axes
    assert [curves(ax) for ax in (radius, steps)] == [(2, 2), (5, 5)]
    np.testing.assert_array_equal(radius.get_lines()[0].get_ydata(), across.exact[list(across.steps).index(20)])


@pytest.mark.slow
def test_perpendicular_networks():
    """Means over eight networks, within 5 standard errors of the limit at all steps and radii."""
    record = perpendicular.compute(KEY, steps=(20, 200), width=256, seeds=8)
    exact, networks = record.exact[1:, ::10], record.networks[:, 1:, ::10]
    off = np.abs(networks.mean(axis=0) - exact) / (networks.std(axis=0, ddof=1) / np.sqrt(len(networks)))
    print(f"largest difference {off.max():.1f} standard errors, median {np.median(off):.1f}")
    assert off.max() < 5 and np.median(off) < 2


def small_staircase(kind):
    """Limits of one and two steps and networks of three, d = 8, up to F(0) t = 10: for two blocks t = 4."""
    sizes = {("basic", 2): {"cells": (16, 20), "modes": 6}, ("orthogonal", 2): {"cells": 16, "modes": 12}}
    return staircase.compute(KEY, most=3, solved=2, width=64, steps=200, dim=8, sizes=sizes, kinds=(kind,))


@pytest.fixture(scope="module")
def stairs():
    return small_staircase("orthogonal")


@pytest.mark.slow
def test_staircases_against_references(stairs):
    """|x_1| + ‖x_{2:3}‖ at t = 4, and F(0), which the networks are scaled by, where the limit starts."""
    assert stairs.exact["orthogonal", 2][-1] == pytest.approx(0.058785 / 2.5, rel=1e-3)
    for shares in stairs.exact.values():
        assert shares[0] == pytest.approx(1, rel=1e-9)
        assert np.all(np.diff(shares) < 0)


@pytest.mark.slow
def test_exact_risk_of_staircase_networks():
    """Against the exact risk of BlockNorms, and against samples for nested norms."""
    blocks, nested = (staircase.coordinate_sets(kind, 2) for kind in ("orthogonal", "basic"))
    problem = mf.Problem(mf.Gaussian(8), mf.BlockNorms((1, 2)))
    cloud = mf.sphere_cloud(problem, width=32, key=KEY)
    cloud = mf.Particles(3 * cloud.a, cloud.b)
    states = jax.tree.map(lambda leaf: leaf[None], cloud)
    share = staircase.risk_share(states, blocks, 8)[0]
    assert share * staircase.initial_risk(blocks) == pytest.approx(float(mf.risk_of(problem).value(cloud)), rel=1e-12)
    x = problem.inputs.sample(jax.random.key(1), 50_000)
    target = jax.vmap(staircase.network_target(nested, 2))(x)
    losses = 0.5 * np.asarray(mf.predict(cloud, x) - target) ** 2
    exact = staircase.risk_share(states, nested, 8)[0] * staircase.initial_risk(nested)
    assert abs(losses.mean() - exact) < 4 * losses.std() / np.sqrt(len(losses)) < 0.05 * exact


@pytest.mark.slow
@pytest.mark.parametrize("kind", staircase.KINDS)
def test_staircase_networks(kind):
    """Two widths take out the bias of order 1/m; what is left is at most 4.5 standard errors, and 1 % for the step."""
    stairs = small_staircase(kind)
    assert stairs.exact[kind, 2][0] == pytest.approx(1, rel=1e-9)
    sets, steps = staircase.coordinate_sets(kind, 2), stairs.steps  # all of them: the same compiled code as above
    problem = mf.Problem(mf.Gaussian(8), staircase.network_target(sets, 3))
    start = staircase.initial_risk(sets)

    def one(width, seed):
        states = fresh_samples.train(problem, start, steps, width, jax.random.key(seed))
        return staircase.risk_share(states, sets, 8)

    half, whole = (np.stack([one(width, seed) for seed in range(8)]) for width in (64, 128))
    exact = np.interp(fresh_samples.RATE * steps, stairs.clock, stairs.exact[kind, 2])
    limit = 2 * whole.mean(axis=0) - half.mean(axis=0)
    error = np.sqrt((4 * whole.var(axis=0, ddof=1) + half.var(axis=0, ddof=1)) / 8)
    print(f"exact {exact}, extrapolated {limit} ± {error}")
    assert np.all(np.abs(limit - exact)[1:] < (4.5 * error + 0.01 * exact)[1:]) and np.all(error < 0.15 * exact)


@pytest.mark.slow
def test_staircases_are_drawn(stairs):
    (ax,) = FIGURES["staircase"].draw(stairs).axes
    assert curves(ax) == (2, 3)
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), stairs.exact["orthogonal", 2][1:])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[1:] == ["$k=2$", "$k=3$ (network only)"]


@pytest.fixture(scope="module")
def dimensions():
    """d_H = 2, so that F(0) t = t, up to t = 8 and, for the limits, 11.2."""
    sizes = {"cells": 100, "modes": 48, "nodes": 15}
    return dimension.compute(KEY, {2: (3, 10)}, {2: (10,)}, (100,), width=64, steps=160, sizes=sizes)


@pytest.mark.slow
def test_dimensions_against_references(dimensions):
    """d = 10 against another scheme with explicit steps, to half a per cent; d = 3 and 10 against the full figure."""
    for t, risk in ((1, 0.5399), (4, 0.0583), (8, 0.01825)):
        row = np.exp(np.interp(t, dimensions.clock, np.log(dimensions.exact[2, 10])))
        assert row == pytest.approx(risk, rel=5e-3)
    dims, times = dimensions.crossings(2)
    np.testing.assert_array_equal(dims, [3, 10, 100])
    np.testing.assert_allclose(times[:2], [4.04, 10.63], rtol=1e-2)
    assert np.isnan(times[2])  # 17.5: after the end
    assert dimension.first_time(np.array([0.0, 1.0, 100.0]), np.array([1.0, 0.1, 0.001])) == pytest.approx(10)


@pytest.mark.slow
def test_networks_in_either_dimension(dimensions):
    """Two widths take out the bias of order 1/m; what is left is at most 4.5 standard errors, and 1 % for the step."""
    steps = dimensions.steps
    for case in ((2, 3), (2, 10)):
        half, whole = (
            np.stack([dimension.network_share(case, steps, width, jax.random.key(seed)) for seed in range(8)])
            for width in (64, 128)
        )
        exact = np.exp(np.interp(fresh_samples.RATE * steps, dimensions.clock, np.log(dimensions.exact[case])))
        limit = 2 * whole.mean(axis=0) - half.mean(axis=0)
        error = np.sqrt((4 * whole.var(axis=0, ddof=1) + half.var(axis=0, ddof=1)) / 8)
        print(f"{case}: exact {exact}, extrapolated {limit} ± {error}")
        assert np.all(np.abs(limit - exact)[1:] < (4.5 * error + 0.01 * exact)[1:])


@pytest.mark.slow
def test_dimensions_are_drawn(dimensions):
    curve, crossing = FIGURES["dimension"].draw(dimensions).axes
    assert curves(curve) == (3, 1) and curves(crossing)[0] == 1
    window = dimensions.clock[1:] <= 8.001
    np.testing.assert_array_equal(curve.get_lines()[1].get_ydata(), dimensions.exact[2, 10][1:][window])
    assert crossing.get_lines()[1].get_linestyle() == "None"


# Long times.


@pytest.fixture(scope="module")
def long_run():
    """Two cases to t = 20 on coarse grids."""
    cases, end = ((10, 2), (30, 5)), 20.0
    return long_time.compute(KEY, cases=cases, end=end, labels_end=end, fine=(100, 12), coarse=(80, 10))


@pytest.mark.slow
def test_long_time_witnesses_agree(long_run):
    """Masses of both grids and of the labels, and at t = 1 those of the reference."""
    for fine, coarse, tags in zip(long_run.fine, long_run.coarse, long_run.labels, strict=True):
        for name in ("mass_plus", "mass_minus"):
            np.testing.assert_allclose(fine.observables[name], coarse.observables[name], rtol=2e-4)
            np.testing.assert_allclose(fine.observables[name], tags.observables[name], rtol=2e-4)
    found = [np.interp(1.0, long_run.fine[1].ts, long_run.fine[1].observables[name]) for name in ("mass_plus", "mass_minus")]
    np.testing.assert_allclose(found, references.REFERENCE_RUN[1][:2], rtol=2e-4)


@pytest.mark.slow
def test_parts_of_the_risk(long_run):
    """They add up to F; the first eigenvalues are K's: d a_0² and d a_2² in closed form."""
    for run, energies in zip(long_run.fine, long_run.energies, strict=True):
        np.testing.assert_allclose(np.sum(energies, axis=1) + float(run.model.tail), run.risk, rtol=1e-4)
    for eigenvalues, (dim, _) in zip(long_run.eigenvalues, long_run.cases, strict=True):
        np.testing.assert_allclose(eigenvalues[:2], [dim * references.funk_hecke(k, dim) ** 2 for k in (0, 2)], rtol=1e-10)


@pytest.mark.slow
def test_slopes_and_integrals_of_a_power(long_run):
    """F = t^{−1} has slope 1, and ∫_a^b √F dt = 2(√b − √a)."""
    ts = np.asarray(long_run.fine[0].ts)
    power = dataclasses.replace(long_run.fine[0], observables={"risk": jnp.asarray(np.append(1.0, 1 / ts[1:]))})
    np.testing.assert_allclose(long_time.slopes(power)[1], 1.0, rtol=1e-10)
    integral = long_time.accumulated(power)
    np.testing.assert_allclose(integral[1:] - integral[1], 2 * (np.sqrt(ts[1:]) - np.sqrt(ts[1])), rtol=1e-3, atol=1e-12)


@pytest.mark.slow
def test_long_time_is_drawn(long_run):
    axes = FIGURES["long_time"].draw(long_run).axes
    assert [curves(ax) for ax in axes[:2]] == [(2, 4), (2, 4)]
    np.testing.assert_array_equal(axes[0].get_lines()[0].get_ydata(), long_run.fine[0].mass_minus[1:])


@pytest.mark.slow
def test_labels_turn_and_weight_decay_takes_mass():
    """Labels stay in order, those of τ⁺ turn to H and gain, those of τ⁻ turn away and lose, and decay takes mass of τ⁻."""
    record = labels.compute(KEY, times=(1.0, 3.0), decays=(0.0, 5e-2), end=3.0, nodes=65, cells=80)
    assert np.all(np.diff(record.theta, axis=2) > 0)
    assert np.all(record.theta[-1, 0] <= record.start) and np.all(record.theta[-1, 1] >= record.start)
    assert np.all(record.log_gain[0, 0] > 0) and np.all(record.log_gain[0, 1] < 0)
    plain, decayed = record.decayed
    assert float(decayed.mass_minus[-1]) < float(plain.mass_minus[-1])
    assert record.rates[1] == pytest.approx(0.1905, abs=1e-4)  # 2λ(1 + K(π/2, 0)/K(0, 0)) at λ = 0.05
    axes = FIGURES["labels"].draw(record).axes
    assert [curves(ax)[0] for ax in axes[:2]] == [5, 4] and curves(axes[2])[0] == 3


# Three teachers under a symmetry.


def test_teachers_are_drawn():
    """Distances of five schemes at three widths are invented; what is 0 is drawn at the bottom."""
    names = ("plain", "sampled DA", "full DA", "FA", "EA")
    values = {name: np.full((3, 3, 2), float(i == 0)) for i, name in enumerate(names)}
    axes = FIGURES["teachers"].draw(teachers.TeachersRecord(values, values, (5, 10, 50))).axes
    assert len(axes) == 6 and all(len(ax.get_lines()) == 5 for ax in axes)
    np.testing.assert_array_equal(axes[3].get_lines()[0].get_ydata(), 1.0)
    assert np.all(axes[3].get_lines()[4].get_ydata() > 0)


@pytest.mark.slow
def test_teachers_of_few_neurons():
    """Plain minibatches leave the fixed matrices; full DA, FA and EA are one run that does not; teachers are as called."""
    swap = teachers.swap_action()
    _, weak, strong = teachers.teacher_clouds()
    assert float(jnp.max(jnp.abs(swap.project(strong) - strong))) < 1e-15
    np.testing.assert_allclose(weak[:5], weak[5:, ::-1, ::-1])
    record = teachers.compute(KEY, widths=(5,), seeds=2)
    assert all(values.shape == (3, 1, 2) for table in (record.fixed, record.architecture) for values in table.values())
    for name in ("plain", "sampled DA"):
        assert np.min(record.fixed[name]) > 1e-4 and np.min(record.architecture[name]) > 1e-4
    for name in ("full DA", "FA", "EA"):
        assert np.max(record.fixed[name]) < 1e-24 and np.max(record.architecture[name]) < 1e-12


# Neurons that a group fixes.


@pytest.mark.slow
def test_clouds_are_seen_from_above_and_edge_on():
    """Of the architecture nothing is perpendicular; plain minibatches of an asymmetric teacher leave. Drawn as they are."""
    record = clouds.compute(KEY, width=5)
    far = {name: np.linalg.norm(points[..., 2:], axis=2).max(axis=1) for name, points in record.neurons.items()}
    assert np.max(far["EA"]) < 1e-13 < 1e-2 < far["plain"][0] and np.min(far["sampled DA"]) > 1e-3
    above, edge = np.array(FIGURES["clouds"].draw(record).axes).reshape(2, 3)[:, 0]
    points = record.neurons["plain"][0]
    np.testing.assert_array_equal(above.get_lines()[0].get_xydata(), points[:, :2])
    np.testing.assert_array_equal(edge.get_lines()[0].get_xydata(), points[:, ::2])


@pytest.mark.slow
def test_searches_are_drawn():
    """A spectrum with its floor for every stage, of both kinds of search, and the risk."""
    record = discovery.compute(KEY, width=4, until=10.0, batch=10)
    assert record.exact["weakly invariant"].dim == 2 and record.exact["arbitrary"].dim == 4
    axes = np.array(FIGURES["discovery"].draw(record).axes).reshape(2, 3)
    for line, reports in zip(axes, (record.exact, record.sampled), strict=True):
        for ax, name in zip(line, discovery.SHOWN, strict=False):
            assert len(ax.get_lines()) == 2 * len(reports[name].stages)
        np.testing.assert_array_equal(line[2].get_lines()[0].get_xdata(), reports["weakly invariant"].dims)


def test_symmetries_of_a_square_move_letters():
    """Pixels go where turns and mirrors of the square take them, and fixed networks say the same of all eight images."""
    square = images.square_action()
    x, y = images.letters(KEY, 3)
    assert (square.dim_fixed, square.dim, x.shape, y.shape) == (142, 1108, (3, 64), (3, 4))
    moved = np.asarray(square.move_input(square.group.components[0], x)).reshape(3, 8, 8)
    np.testing.assert_array_equal(moved, np.rot90(np.asarray(x).reshape(3, 8, 8), axes=(1, 2)))
    everything = images.orbits(square, x, y)
    assert everything.count == 24 and len(np.unique(np.asarray(everything.x).round(9), axis=0)) == 24


@pytest.mark.slow
def test_networks_on_letters():
    """Four schemes are one run on orbits, three on letters as drawn; batches leave; moved letters are all one to these."""
    record = images.compute(KEY, images=16, steps=20, width=2, widths=(2,))
    for name, far in record.closed.items():
        assert np.max(far) < 1e-25 and (np.max(record.drawn[name]) < 1e-25) == (name != "plain")
    assert np.max(record.drawn["plain"]) > 1e-4 < record.batches["plain"][0] and record.batches["EA"][0] < 1e-25
    assert all(drawn == moved for name, (drawn, moved) in record.accuracy.items() if name in ("FA", "EA"))
    *_, batches, shares = FIGURES["images"].draw(record).axes
    assert len(batches.get_lines()) == 3 and len(shares.patches) == 8


# What training cannot change.


@pytest.mark.slow
def test_laws_are_drawn(standard_promotion):
    """Finite steps alone make all of the drift of SGD, and not of Adam; the flow keeps the cloud's law."""
    record = noether.compute(KEY, steps=(10, 20), updates=20, orders=(3, 4), width=12)
    values, predicted = record.values, record.predicted
    assert np.max(np.abs(values[0] - predicted[0])) < 1e-12 < 1e-3 < np.max(np.abs(values[2] - predicted[2]))
    assert np.max(np.abs(record.ends[0] - record.start)) < 1e-4 < 1e-2 < np.max(np.abs(record.ends[1] - record.start))
    np.testing.assert_allclose(record.ends[2], record.start * np.exp(-0.4), atol=1e-4)
    steps, loops, turning, clouds = FIGURES["noether"].draw(record).axes
    assert len(steps.get_lines()) == 6 and len(loops.get_lines()) == 6 and len(turning.get_lines()) == 13
    assert len(clouds.get_legend().get_texts()) == 4


# Deep networks.


@pytest.mark.slow
def test_deep_networks_are_drawn(standard_promotion):
    """Eight panels; escapes count steps, the limit of the first step lies among networks, and accuracies are shares."""
    pytest.importorskip("sklearn")
    record = deep.compute(KEY, (8, 16), (2, 4), images=32, steps=20, width=16, units=("ReLU",))
    assert record.losses.shape == (2, 2, 20) and record.accuracies.shape == (4, 1)
    assert np.all((record.accuracies >= 0) & (record.accuracies <= 1))
    assert np.all(record.escapes[4].steps.mean() > record.escapes[2].steps.mean())
    assert [each.shape for each in (record.outputs["mup"], record.limits["mup"])] == [(6, 13), (13,)]
    figure = FIGURES["deep"].draw(record)
    assert len(figure.axes) == 8
