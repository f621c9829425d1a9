"""Integrable networks on the digits of scikit-learn: how many directions layers keep, and what training makes of that."""

import jax
import numpy as np
import pytest

from mfsym import deep
from mfsym.figures.deep_digits import UNITS, accuracy, stepped
from mfsym.figures.digits import digits

WIDTH = 128


def ranks(scaling, unit, seed):
    """Numerical ranks of all hidden layers of five after one step on 256 images."""
    data = digits(256, jax.random.key(seed))
    model = stepped(scaling, UNITS[unit], data, WIDTH, jax.random.key(10 + seed))
    return [deep.numerical_rank(h) for h in jax.vmap(model.preactivations)(data.x)[:-1]]


@pytest.mark.slow
def test_layers_of_an_integrable_network_lose_directions():
    """One step of ip_llr leaves deep layers of ReLU units a few directions, smooth units several times as many, and one of
    mup about a hundred."""
    pytest.importorskip("sklearn")
    found = {
        name: np.mean([ranks(scaling, unit, seed) for seed in range(4)], axis=0)
        for name, (scaling, unit) in {
            "ReLU": (deep.ip_llr, "ReLU"),
            "GELU": (deep.ip_llr, "GELU"),
            "tanh": (deep.ip_llr, "tanh"),
            "mup": (deep.mup, "ReLU"),
        }.items()
    }
    print(found)
    np.testing.assert_allclose(found["ReLU"], (55, 68, 17, 6, 3.5), rtol=0.15, atol=1)
    assert min(found["GELU"][4], found["tanh"][4]) > 3 * found["ReLU"][4]
    assert min(found["mup"]) > 50 and min(found["mup"][1:]) > 80


@pytest.mark.study
@pytest.mark.slow
def test_accuracies_on_digits():
    """mup learns with every activation; ip_llr with smooth ones alone: of its ReLU units too few directions are left."""
    pytest.importorskip("sklearn")
    data = digits(512, jax.random.key(0))
    found = {
        (name, unit): accuracy(scaling, UNITS[unit], data, WIDTH, 400, jax.random.key(11))
        for name, scaling in (("mup", deep.mup), ("ip_llr", deep.ip_llr))
        for unit in ("ReLU", "GELU", "tanh")
    }
    print(found)
    assert found.pop(("ip_llr", "ReLU")) < 0.6
    assert min(found.values()) > 0.9
