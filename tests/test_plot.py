"""Figures show the numbers they are given, and leave everything else as it was."""

import ast
import dataclasses
import itertools
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from budgets import constant_budget
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

import mfsym as mf
from mfsym import plot
from mfsym.crosscheck import Comparison, CrossCheckReport, Judgement, Runs
from mfsym.neurons import neuron_masses
from mfsym.reduced.angles.directions import CharacteristicState
from mfsym.solution import Solution, Status

TIMES = np.array([0.0, 0.1, 0.3, 1.0, 3.0, 10.0])
WIDTHS = (32, 64, 128)


@pytest.fixture(scope="module")
def pde():
    """A law on the angle that grows (τ⁺) and shrinks (τ⁻) without moving, with the masses that it has."""
    reduced = mf.reduce(mf.Problem(inputs=mf.Gaussian(6), target=mf.SubspaceNorm(2)), cells=32, modes=12)
    return standing(reduced, TIMES)


@pytest.fixture(scope="module")
def signed():
    """A single-index problem: its angle is in [0, π] and its risk has a floor."""
    reduced = mf.reduce(mf.Problem(inputs=mf.Gaussian(5), target=mf.SingleIndex(jnp.sin)), cells=32, modes=12)
    return standing(reduced, np.array([0.0, 1.0]))


@pytest.fixture(scope="module")
def point():
    """No angle is left."""
    reduced = mf.reduce(mf.Problem(inputs=mf.Gaussian(3), target=mf.SubspaceNorm(3)))
    return mf.solve_reduced(reduced, jnp.linspace(0.0, 2.0, 5))


def standing(reduced, ts) -> Solution:
    growth = np.stack([1 + ts, 1 / (1 + ts)], axis=1)
    states = growth[:, :, None] * np.asarray(reduced.cell_masses) * (reduced.cells / reduced.end)
    record = {"mass_plus": growth[:, 0] / 2, "mass_minus": growth[:, 1] / 2, "risk": 2 * np.exp(-ts) + 0.2}
    record |= {"alignment_plus": 1 - 0.7 * np.exp(-ts), "alignment_minus": 0.3 * np.exp(-ts)}
    record = {name: jnp.asarray(values, reduced.dtype) for name, values in record.items()}
    states = jnp.asarray(states, reduced.dtype)
    return made(ts, record, states[-1], states, reduced)


@pytest.fixture(scope="module")
def full():
    """A cloud that stands still, with a record of its own."""
    key = jax.random.key(0)
    b = jax.random.normal(key, (40, 6))
    cloud = mf.Particles(jnp.where(jnp.arange(40) < 20, 1.0, -1.0).astype(b.dtype), b)
    names = ("risk", "mass_plus", "mass_minus", "alignment_plus", "alignment_minus")
    record = {name: jnp.linspace(0.2, 0.9, len(TIMES)) + 0.01 * i for i, name in enumerate(names)}
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(TIMES)), cloud)
    return made(TIMES, record, cloud, states, mf.ReLU())


def made(ts, record, final, states, model, **more) -> Solution:
    valid = jnp.ones(len(ts), bool)
    return Solution(jnp.asarray(ts), record, final, states, Status.complete, valid, {}, None, model, **more)


@pytest.fixture(scope="module")
def report(pde):
    """Normal samples around the reference with bias 1/m and scatter 1/√m."""
    rng = np.random.default_rng(0)
    names = ("risk", "mass_plus", "mass_minus", "alignment_plus", "alignment_minus")
    reference = {name: np.asarray(pde.observables[name], float) for name in names}
    samples = {
        name: [v + 1 / m + 0.5 * rng.standard_normal((5, len(TIMES))) / m**0.5 for m in WIDTHS]
        for name, v in reference.items()
    }
    runs = Runs(
        jnp.asarray(TIMES),
        WIDTHS,
        {name: [jnp.asarray(s) for s in each] for name, each in samples.items()},
        [jnp.zeros((5, len(TIMES), 0)) for _ in WIDTHS],
        [jnp.zeros((5, len(TIMES), 0)) for _ in WIDTHS],
        [jnp.zeros((5, len(TIMES))) for _ in WIDTHS],
    )
    comparisons = {name: compared(name, reference[name], samples[name]) for name in names}
    constant = np.outer(np.linspace(1, 1.1, len(WIDTHS)), np.linspace(1, 2, len(TIMES)))
    judgement = Judgement("agree", "agree: 5 observables at 6 times.", comparisons, constant)
    return CrossCheckReport(runs, {"grid": pde}, {"grid": judgement, "characteristics": judgement}, "agree")


def compared(name: str, reference: np.ndarray, samples: list[np.ndarray]) -> Comparison:
    known = {
        "observable": name,
        "reference": reference,
        "limit": reference + 0.01,
        "standard_error": np.linspace(0.005, 0.02, len(TIMES)),
        "excluded": np.full(len(TIMES), 0.05),
        "p_value": np.full(len(TIMES), 0.5),
        "means": np.stack([s.mean(axis=0) for s in samples]),
        "spreads": np.stack([s.std(axis=0, ddof=1) for s in samples]),
        "spread_slope": -0.5,
        "verdict": "agree",
    }
    return Comparison(**dict.fromkeys(Comparison._fields, 1.0) | known)


def artists(figure) -> dict:
    """Everything that carries a name, by panel and name."""
    found = {}
    for number, ax in enumerate(figure.axes):
        for artist in [*ax.get_lines(), *ax.patches, *ax.collections]:
            if artist.get_gid():
                found[number, artist.get_gid()] = artist
    return found


def texts(figure) -> str:
    legends = [text.get_text() for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    labels = [text for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel(), ax.get_title())]
    return " | ".join([*legends, *labels, figure.get_supxlabel(), figure.get_suptitle()])


def agrees(line, x, y) -> bool:
    return np.array_equal(line.get_xdata(), np.asarray(x, float)) and np.array_equal(line.get_ydata(), np.asarray(y))


PANELS = {"risk": 0, "mass_plus": 1, "mass_minus": 1, "alignment_plus": 2, "alignment_minus": 2}


def test_overview_shows_both_routes_and_the_report(pde, full, report):
    figure = plot.overview(pde, full, report)
    found = artists(figure)
    for name, panel in PANELS.items():
        assert agrees(found[panel, f"reduced:{name}"], TIMES, pde.observables[name])
        assert agrees(found[panel, f"cloud:{name}"], TIMES, full.observables[name])
        assert found[panel, f"cloud:{name}"].get_linestyle() == "None"
        for index in (0, 2):
            samples = np.asarray(report.runs.observables[name][index])
            (path,) = found[panel, f"band:{name}:{WIDTHS[index]}"].get_paths()
            upper = samples.mean(axis=0) + samples.std(axis=0, ddof=1)
            for t, value in zip(TIMES, upper, strict=True):
                assert np.any(np.all(np.isclose(path.vertices, (t, value)), axis=1))
    risk, mass, _ = figure.axes
    assert risk.get_yscale() == "log" and mass.get_xscale() == "symlog"
    words = texts(figure)
    for expected in ("risk $F$", r"\tau^{+}", r"\tau^{-}", "flow time $t$", "$m=40$", "$m=128$", "agree: 5 observables"):
        assert expected in words
    plus, minus = (found[1, f"reduced:mass_{sign}"].get_color() for sign in ("plus", "minus"))
    assert (plus, minus) == tuple(found[2, f"reduced:alignment_{sign}"].get_color() for sign in ("plus", "minus"))
    assert plus != minus


def test_overview_of_a_signed_angle_has_the_floor_and_linear_time(signed):
    figure = plot.overview(signed)
    assert artists(figure)[0, "floor"].get_ydata()[0] == float(signed.model.floor) > 0
    assert all(ax.get_xscale() == "linear" for ax in figure.axes)


def test_overview_without_an_angle_and_with_missing_observables(point, full):
    bare = made(TIMES, {"risk": full.observables["risk"]}, full.final, None, mf.ReLU())
    found = artists(plot.overview(point, bare))
    assert agrees(found[1, "reduced:mass_plus"], point.ts, point.mass_plus)
    assert (0, "cloud:risk") in found and (1, "cloud:mass_plus") not in found


def test_overview_leaves_out_what_is_not_valid(pde):
    early = dataclasses.replace(pde, valid=jnp.arange(len(TIMES)) < 3)
    assert agrees(artists(plot.overview(early))[0, "reduced:risk"], TIMES[:3], pde.risk[:3])


@pytest.mark.float32
def test_densities_show_the_density_and_the_mass_of_the_cloud(pde, full):
    figure = plot.densities(pde, full, times=[0.0, 10.0])
    found = artists(figure)
    weights = np.asarray(neuron_masses(full.final)) / 40
    for column, index in ((0, 0), (1, 5)):
        for row, (sign, own) in enumerate((("plus", slice(20)), ("minus", slice(20, 40)))):
            line, bars = (found[2 * row + column, f"{route}:{sign}"] for route in ("reduced", "cloud"))
            theta = line.get_xdata()
            expected = np.cos(theta) * np.sin(theta) ** 3  # the uniform law on the sphere, d_H = 2 and d_⊥ = 4
            expected *= float(pde.observables[f"mass_{sign}"][index]) / np.trapezoid(expected, theta)
            assert np.allclose(line.get_ydata(), expected, atol=1e-3 * expected.max())
            heights, edges, _ = bars.get_data()
            assert np.isclose(np.sum(heights * np.diff(edges)), weights[own].sum(), rtol=1e-5)
    assert "$t = 10$" in texts(figure) and "density of $\\tau^{+}$" in texts(figure) and "$m=40$" in texts(figure)


def test_densities_take_what_is_known_of_the_clouds(pde, full):
    last = dataclasses.replace(full, states=None)
    for given in (last, full.final):
        found = artists(plot.densities(pde, given, times=[1.0, 10.0]))
        assert (0, "cloud:plus") not in found and (1, "cloud:plus") in found
    assert len(plot.densities(pde).axes) == 8


def test_densities_of_a_signed_angle(signed):
    figure = plot.densities(signed, times=1.0)
    assert figure.axes[0].get_xlim() == (0.0, np.pi)
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["$0$", r"$\pi/2$", r"$\pi$"]


def test_film_has_the_frames_and_says_where_it_is(pde, full, tmp_path):
    path = plot.film(pde, tmp_path / "film.gif", full, frames=4, fps=10)
    assert path == tmp_path / "film.gif"
    with Image.open(path) as film:
        assert film.n_frames == 4 and film.info["duration"] == 100
        frames = []
        for index in range(4):
            film.seek(index)
            frames.append(np.asarray(film.convert("L"), float))
    assert all(np.abs(a - b).max() > 100 for a, b in itertools.pairwise(frames))
    corner = [frame[-40:, :60] for frame in frames]  # labels of the first axes
    assert corner[0].std() > 0 and all(np.abs(c - corner[0]).max() < 30 for c in corner)


def test_film_has_no_more_frames_than_times(signed, tmp_path):
    with Image.open(plot.film(signed, str(tmp_path / "film.gif"))) as film:
        assert film.n_frames == 2


def test_rates_show_spreads_constants_and_limits(report):
    figure = plot.rates(report)
    found = artists(figure)
    judgement = report.judgements["grid"]
    assert agrees(found[0, "slope:-0.5"], WIDTHS, (np.array(WIDTHS) / 32) ** -0.5)
    for row, name in enumerate(PANELS):
        comparison = judgement.comparisons[name]
        relative = np.sqrt(np.mean((comparison.spreads / comparison.spreads[:1]) ** 2, axis=1))
        assert agrees(found[0, f"spread:{name}"], WIDTHS, relative)
        scores = (comparison.limit - comparison.reference) / comparison.standard_error
        for method in report.judgements:
            drawn = found[2, f"limit:{method}:{name}"]
            assert np.isin(drawn.get_xdata(), scores).all() and scores.max() in drawn.get_xdata()
            assert np.all(np.abs(drawn.get_ydata() - row) < 0.5)
    assert agrees(found[1, f"constant:{len(TIMES) - 1}"], WIDTHS, judgement.predictor_constant[:, -1])
    labels = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert labels[:2] == ["risk $F$", r"mass $\tau^{+}$"] and "(limit − reference) / standard error" in texts(figure)
    assert "$-0.50$" in texts(figure)


def test_rates_without_an_angle_or_a_spread(report):
    comparison = compared("risk", np.ones(6), [np.ones((5, 6)) for _ in WIDTHS])._replace(standard_error=np.full(6, np.inf))
    judgement = Judgement("agree", "agree.", {"risk": comparison}, np.full((3, 6), np.nan))
    found = artists(plot.rates(CrossCheckReport(report.runs, {}, {"grid": judgement}, "agree")))
    assert (0, "spread:risk") not in found and found[2, "limit:grid:risk"].get_xdata().size == 0


def test_a_budget_is_stacked_to_its_coefficient():
    """C = 1 of one block .9 and what is unanswered, beside 2F m = m: the stack ends at C, lines are where they should be."""
    figure = plot.budget(constant_budget(samples=False))
    (ax,) = figure.axes
    tops = [collection.get_paths()[0].vertices[:, 1].max() for collection in ax.collections]
    assert tops == pytest.approx([0.9, 0.9, 1.0])
    assert [float(line.get_ydata()[0]) for line in ax.lines] == pytest.approx([1.0, 1.0, 2.0, 4.0])
    assert [text.get_text() for text in ax.get_legend().get_texts()][:3] == ["unanswered", "other blocks", "$(0,0)$"]


def test_figures_go_where_they_are_asked_to(pde, full, report):
    own = Figure()
    grid = own.subplots(4, 3)
    assert plot.overview(pde, full, report, axes=grid[0]) is own
    assert plot.rates(report, axes=grid[1]) is own
    assert plot.densities(pde, times=[0, 1, 10], axes=grid[2:]) is own
    assert grid[0, 0].get_lines() and grid[3, 2].get_lines()
    assert own.get_supxlabel() == "" and len(own.axes) == 12


def test_nothing_global_changes(pde, full, report, tmp_path):
    before, backend = matplotlib.rcParams.copy(), matplotlib.get_backend()
    figures = [plot.overview(pde, full, report), plot.densities(pde, full, times=[0.0]), plot.rates(report)]
    plot.film(pde, tmp_path / "film.gif", frames=2)
    assert dict(matplotlib.rcParams) == dict(before) and matplotlib.get_backend() == backend
    assert pyplot.get_fignums() == []
    assert all(isinstance(figure, Figure) for figure in figures)
    assert figures[0]._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figures[0])).axes[0].get_ylabel() == "risk $F$"


def test_matplotlib_is_imported_only_when_a_figure_is_drawn():
    for file in Path(plot.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("matplotlib", "PIL") for name in names), file


def test_wrong_arguments_are_named(pde, point, full, report, tmp_path):
    steps = dataclasses.replace(full, clock="steps")
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), pde)
    kept = dataclasses.replace(full, states=None)
    labels = CharacteristicState(jnp.ones((2, 3)), jnp.ones((2, 3)))
    moving = dataclasses.replace(pde, states=jax.tree.map(lambda leaf: jnp.stack([leaf] * len(TIMES)), labels))
    gif = tmp_path / "film.gif"
    for argument, call in [
        ("pde", lambda: plot.overview(full.final)),
        ("pde", lambda: plot.overview(full, pde)),
        ("pde", lambda: plot.overview(batch)),
        ("full", lambda: plot.overview(pde, full.final)),
        ("full", lambda: plot.overview(pde, steps)),
        ("report", lambda: plot.overview(pde, full, report.runs)),
        ("axes", lambda: plot.overview(pde, axes=Figure().subplots(1, 2))),
        ("axes", lambda: plot.overview(pde, axes=[1, 2, 3])),
        ("pde", lambda: plot.densities(point)),
        ("pde", lambda: plot.densities(moving)),
        ("times", lambda: plot.densities(pde, times=[0.0, 0.2])),
        ("times", lambda: plot.densities(pde, times="late")),
        ("full", lambda: plot.densities(pde, report)),
        ("path", lambda: plot.film(pde, tmp_path / "film.mp4")),
        ("path", lambda: plot.film(pde, tmp_path / "missing" / "film.gif")),
        ("path", lambda: plot.film(pde, 3)),
        ("frames", lambda: plot.film(pde, gif, frames=0)),
        ("fps", lambda: plot.film(pde, gif, fps=-1.0)),
        ("full", lambda: plot.film(pde, gif, kept)),
        ("full", lambda: plot.film(pde, gif, full.final)),
        ("report", lambda: plot.rates(report.judgements["grid"])),
    ]:
        with pytest.raises(mf.ArgumentError, match=f"`{argument}`"):
            call()
    assert not gif.exists()


@pytest.mark.parametrize("biased", [True, False])
def test_neurons_of_any_unit_have_sizes_in_place_of_masses(pde, biased):
    names = ("a_squared", "b_h_squared", "b_perp_squared", "bias_mean")[: 4 if biased else 3]
    record = {"risk": pde.risk} | {name: jnp.asarray(TIMES + i) for i, name in enumerate(names)}
    figure = plot.overview(dataclasses.replace(pde, observables=record))
    drawn = {line.get_gid(): line for ax in figure.axes for line in ax.get_lines() if line.get_gid() != "floor"}
    assert set(drawn) == {f"reduced:{name}" for name in record}
    for i, name in enumerate(names):
        assert np.array_equal(drawn[f"reduced:{name}"].get_ydata(), TIMES + i)
    assert figure.axes[2].get_visible() == biased
    assert next(text.get_text() for text in figure.axes[1].get_legend().get_texts()) == "$a^2$"


def test_laws_over_the_updates():
    """The part of each that moved most, its prediction, the six that moved most of eight, and how many were kept."""

    def seen(steps):
        values = [np.array([1.0, 1.0 + steps * size]) for size in np.arange(8.0)]
        predicted = [value if law < 3 else 0.5 * (value + 1) for law, value in enumerate(values)]
        names, start, path = tuple(f"law {law}" for law in range(8)), (np.ones(2),) * 8, (np.full(2, 10.0),) * 8
        return mf.noether.Drift(names, start, tuple(values), tuple(predicted), path, steps)

    figure = plot.charges([seen(5), seen(10)])
    drawn = {line.get_gid(): line for line in figure.axes[0].get_lines() if ":" in str(line.get_gid())}
    assert set(drawn) == {f"{kind}:{law}" for kind in ("value", "predicted") for law in range(2, 8)}
    assert np.array_equal(drawn["value:7"].get_xdata(), [0, 5, 10])
    assert np.array_equal(drawn["value:7"].get_ydata(), [0, 35, 70])
    assert np.array_equal(drawn["predicted:7"].get_ydata(), [0, 17.5, 35])
    assert figure.get_supxlabel() == "after 10 steps 3 of 8 laws kept up to finite steps; drawn are the 6 that moved most"
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts[0] == "law 7" and texts[-2:] == ["by finite steps alone", "broken by the optimiser"]
    alone, ax = plot.charges(seen(10)), Figure().subplots()
    assert np.array_equal(alone.axes[0].get_lines()[0].get_xdata(), [0, 10])
    assert plot.charges(seen(10), axes=ax) is ax.figure
