"""The statistics of the cross-check: what they state of a difference is held against problems whose truth is known."""

import itertools

import numpy as np
import pytest

from mfsym.extrapolation import compare

REPETITIONS = 4000
SCATTER = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "squares": lambda rng, shape: (rng.chisquare(4, shape) - 4) / np.sqrt(8),
    "log-normal": lambda rng, shape: (np.exp(rng.standard_normal(shape) / 2) - np.exp(1 / 8)) / 0.604,
}
WIDTHS = ((64, 256), (64, 256, 1024), (32, 64, 128, 256), (32, 64, 128, 256, 512))
SEEDS = (3, 8, 16)


def runs(scatter, widths, seeds, count=REPETITIONS):
    """Clouds of truth 1 with a bias of order 1/m, and of 1/m² where three widths see it, `count` independent times."""
    rng = np.random.default_rng([len(widths), seeds, len(scatter)])
    bias = [3 / m - (40 / m**2 if len(widths) > 2 else 0) for m in widths]
    return [1 + b + SCATTER[scatter](rng, (seeds, count)) / np.sqrt(m) for m, b in zip(widths, bias, strict=True)]


def test_stated_errors_cover_the_truth():
    """In 60 problems: at 95 % in at least 95 %, at 99.9 % likewise, and not by being too large."""
    missed, sizes = {}, []
    for case in itertools.product(SCATTER, WIDTHS, SEEDS):
        found = compare("x", np.ones(REPETITIONS), np.zeros(REPETITIONS), runs(*case), case[1], 1.0, 1)
        missed[case] = np.mean(found.p_value < 0.05), np.mean(found.p_value < 1e-3)
        # `excluded` is the difference plus the half width of the interval
        half_width = found.excluded - np.abs(found.limit - 1)
        sizes.append(np.median(half_width) / np.median(np.abs(found.limit - 1)))
        assert missed[case][0] < 0.05 + 3 * np.sqrt(0.05 / REPETITIONS), case
        assert missed[case][1] < 1e-3 + 5 * np.sqrt(1e-3 / REPETITIONS), case
    mean = np.mean(list(missed.values()), axis=0)
    print(f"missed at 95 %: {mean[0]:.4f}, at 99.9 %: {mean[1]:.5f}")
    print(f"half widths over errors, medians: {min(sizes):.2g} … {max(sizes):.2g}")
    assert mean[0] < 0.05 and mean[1] < 1e-3
    assert max(sizes) < 30


def test_a_right_reference_is_hardly_ever_refused():
    """A family of 40 comparisons is refused by chance once in a thousand."""
    refused = 0
    for seeds in SEEDS:
        found = compare(
            "x", np.ones(10**5), np.zeros(10**5), runs("normal", (64, 256, 1024), seeds, 10**5), (64, 256, 1024), 1.0, 1
        )
        refused += np.sum(found.p_value * 40 < 1e-3)
    assert refused <= 1e-3 * len(SEEDS) * 10**5 / 40 + 5


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_wrong_reference_is_refused_once_it_is_resolved(seeds):
    """A difference of ten standard errors of the widest clouds, with seeds enough."""
    samples = runs("normal", (64, 256, 1024), seeds, 500)
    shift = 10 / np.sqrt(1024 * seeds)
    p = compare("x", np.full(500, 1 + shift), np.zeros(500), samples, (64, 256, 1024), 1.0, 1).p_value
    assert np.median(p) < {3: 0.05, 8: 1e-3, 16: 1e-4}[seeds]
