"""How many laws a network has, which, and whether those are all: against published counts, and on ordinary modules."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_benchmarks import load
from test_noether_laws import network

import mfsym as mf

noether = mf.noether
MODULES = load("conserved").MODULES  # ordinary ones, in the ways of equinox and of dictionaries with transposed kernels


def identity(z):
    return z


def inputs(dim, count=40, scale=2.0):
    return scale * jax.random.normal(jax.random.key(1), (count, dim))


# sizes, activation, bias, laws, spans: of linear networks as tabulated by Marcotte, Gribonval & Peyré (2025), others derived
FEW = [
    ((1, 2, 2, 1), identity, False, 7, (1, 1)),
    ((2, 2, 2), identity, False, 3, (4, 5, 5)),
    ((2, 3, 1), jax.nn.relu, True, 3, (10, 10)),
]
MANY = [
    ((1, 1, 1), identity, False, 1, None),
    ((2, 1, 3), identity, False, 1, None),
    ((3, 2, 2), identity, False, 3, None),
    ((1, 2, 1), identity, False, 3, None),
    ((1, 3, 1), identity, False, 5, None),
    ((1, 4, 1), identity, False, 7, None),
    ((2, 3, 1), identity, False, 6, (2, 3, 3)),
    ((2, 4, 1), identity, False, 9, None),
    ((2, 3, 2), identity, False, 6, None),
    ((3, 3, 3), identity, False, 6, (9, 12, 12)),
    ((2, 4, 2), identity, False, 10, None),
    ((4, 5, 3), identity, False, 15, (12, 20, 20)),
    ((1, 1, 1, 1), identity, False, 2, None),
    ((2, 2, 2, 2), identity, False, 6, None),
    ((2, 3, 2, 2), identity, False, 9, None),
    ((1, 1, 2, 2, 1), identity, False, 8, None),
    ((2, 2, 2, 2), jax.nn.relu, True, 4, None),
    ((2, 3, 2, 1), jax.nn.relu, False, 5, None),
    ((2, 3, 2), jnp.exp, False, 0, None),
    ((2, 3, 2), jnp.exp, True, 3, None),
    ((2, 3, 2), jnp.tanh, True, 0, None),
    ((2, 3, 2), jax.nn.gelu, True, 0, None),
    ((2, 3, 2), lambda z: z**2, True, 3, None),
    ((2, 3, 2), lambda z: z**2 + z, False, 0, None),
]


def named(case):
    """Sizes, activation, and whether there are biases."""
    return f"{'-'.join(map(str, case[0]))} {case[1].__name__}{' bias' * case[2]}"


def check_count(sizes, activation, bias, laws, levels):
    params, apply = network(sizes, activation, bias)
    scale = 0.7 if activation is jnp.exp else 2.0
    found = noether.count_laws(apply, params, inputs(sizes[0], scale=scale))
    print(found)
    assert found.decided and found.generic == laws
    assert found.gap > 1e6
    if levels is not None:
        assert found.levels == levels


@pytest.mark.parametrize("case", FEW, ids=named)
def test_counts(case):
    check_count(*case)


@pytest.mark.slow
@pytest.mark.parametrize("case", MANY, ids=named)
def test_more_counts(case):
    check_count(*case)


@pytest.mark.parametrize("rank", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_factors_that_stay_positive_keep_their_sums(rank):
    """θ' = −θ ⊙ ∇L, multiplicative updates of a factorisation UVᵀ: Σ_i U_ik − Σ_j V_jk, one for each k."""
    keys = jax.random.split(jax.random.key(2))
    params = {"u": 1 + jax.random.uniform(keys[0], (3, rank)), "v": 1 + jax.random.uniform(keys[1], (2, rank))}

    def apply(params, x):
        return params["u"] @ (params["v"].T @ x)

    def metric(params, gradient):
        return jax.tree.map(jnp.multiply, params, gradient)

    found = noether.count_laws(apply, params, inputs(2, 4), metric=metric)
    assert found.decided and found.laws == found.generic == rank and found.gap > 1e6
    law = noether.positive_sums(lambda p: p["u"], lambda p: p["v"])
    velocity = metric(params, jax.grad(lambda p: jnp.sum(apply(p, jnp.ones(2)) ** 2))(params))
    assert np.max(np.abs(law(velocity))) < 1e-12 * np.max(np.abs(jax.tree.leaves(velocity)[0]))


def test_special_parameters_are_said_to_be_special():
    """A unit without weights stays as it is, all four numbers of it."""
    params, apply = network((2, 2, 1), jax.nn.relu, True)
    params = [
        {name: leaf.at[0].set(0.0) for name, leaf in params[0].items()},
        {"w": params[1]["w"].at[:, 0].set(0.0), "b": params[1]["b"]},
    ]
    found = noether.count_laws(apply, params, inputs(2))
    print(found)
    assert found.laws == 5 and found.generic == 2 and "special" in found.sentence()


def check_discovery(apply, params, x, laws):
    """The number of laws, that the list is complete, and that every law holds on data that it was not found on."""
    found = noether.discover(apply, params, x)
    print(found)
    assert found.count.generic == laws == len(found.laws) and found.complete
    fresh = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype), x)
    checks = [noether.check_law(law, apply, params, fresh, key=jax.random.key(9)) for law in found.laws]
    assert all(check.holds and check.defect < 1e-11 and check.rank == 1 for check in checks)
    return found


def test_laws_of_a_layer_are_found_and_named():
    params, apply = network((2, 2, 1), jax.nn.relu, True)
    found = check_discovery(apply, params, inputs(2), 2)
    assert str(found).splitlines()[1:] == ["  ‖[1]['w'][:, i]‖² − [0]['b'][i]² − ‖[0]['w'][i, :]‖², i = 0, 1"]
    same = noether.unit_norms(lambda p: p[0]["w"], lambda p: p[1]["w"], bias=lambda p: p[0]["b"])(params)
    np.testing.assert_allclose([law(params) for law in found.laws], same, atol=1e-12)


def test_what_is_no_polynomial_of_degree_two_is_counted():
    """1-2-2-1: six laws are balances, the seventh is not."""
    params, apply = network((1, 2, 2, 1), identity, False)
    found = noether.symmetries(apply, params, inputs(1))
    assert found.independent_laws == 6 and found.gap > 1e6
    count = noether.count_laws(apply, params, inputs(1), known=6)
    assert noether.Discovery(found.laws, count, count.generic == 6, found).sentence().count("there is 1 more") == 1


def test_a_law_of_another_network_is_refuted():
    params, apply = network((2, 3, 1), jnp.tanh, True)
    law = noether.unit_norms(lambda p: p[0]["w"], lambda p: p[1]["w"])
    check = noether.check_law(law, apply, params, inputs(2))
    assert not check.holds and check.defect > 1e-2


@pytest.mark.slow
def test_the_page_runs_as_it_stands(capsys):
    """The two lines in a loop: momentum breaks what was found."""
    page = (Path(__file__).parents[1] / "docs" / "rooms" / "noether.md").read_text(encoding="utf-8")
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(code, "noether.md", "exec"), names)
    assert names["found"].complete and len(names["found"].laws) == 3
    assert noether.drift(names["state"]).kept == (False,) * 3
    assert "broken by the optimiser" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    make, laws = MODULES[name]
    params, apply, x = make()
    found = check_discovery(apply, params, x, laws)
    assert found.count.gap > 1e6 and found.symmetries.gap > 1e6


@pytest.mark.study
@pytest.mark.parametrize("seed", range(50))
def test_smooth_networks_have_none(seed):
    """No false law in random smooth networks."""
    rng = np.random.default_rng(seed)
    sizes = (int(rng.integers(2, 4)), int(rng.integers(2, 5)), int(rng.integers(1, 3)))
    activation = (jnp.tanh, jax.nn.gelu, jax.nn.sigmoid, jax.nn.softplus, jnp.sin)[seed % 5]
    params, apply = network(sizes, activation, bool(seed % 2), seed)
    found = noether.discover(apply, params, inputs(sizes[0]))
    assert found.laws == () and found.complete is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": {"w": jnp.ones(3, int)}}, "params"),
        ({"params": {}}, "params"),
        ({"params": jnp.ones(3, jnp.float32)}, "float64"),
        ({"inputs": jnp.ones(())}, "inputs"),
        ({"inputs": (jnp.ones(3), jnp.ones(4))}, "inputs"),
        ({"apply": 3}, "apply"),
        ({"apply": lambda p, x: jnp.argmax(x)}, "apply"),
        ({"apply": lambda p, x: p["nothing"]}, "apply"),
        ({"family": "affine"}, "family"),
        ({"params": {"w": jnp.ones((70, 2)), "v": jnp.ones(2)}, "family": "full"}, "unknowns"),
        ({"batch": 0}, "batch"),
    ],
)
def test_refusals(change, words):
    arguments = {"apply": lambda p, x: jax.tree.leaves(p)[0] * jnp.sum(jax.tree.leaves(x)[0]), "params": {"w": jnp.ones(2)}}
    arguments |= {"inputs": inputs(2)} | change
    with pytest.raises(mf.ArgumentError, match=words):
        noether.symmetries(**arguments)
