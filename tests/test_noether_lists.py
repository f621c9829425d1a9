"""Names of laws, and lists of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stored
from test_noether_laws import network

import mfsym as mf
from mfsym.noether.lists import lines_of
from mfsym.noether.sparse import sparse_basis


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (
            ["‖[1]['w'][:, 0]‖² − [0]['b'][0]²", "‖[1]['w'][:, 1]‖² − [0]['b'][1]²"],
            ["‖[1]['w'][:, i]‖² − [0]['b'][i]², i = 0, 1"],
        ),
        (["a", "b.c[0].d[2]²", "b.c[1].d[2]²"], ["a", "b.c[0].d[2]²", "b.c[1].d[2]²"]),  # paths are not indices
        ([f"⟨q[{i}, :], q[{j}, :]⟩" for i in range(3) for j in range(i)], ["⟨q[i, :], q[j, :]⟩, i = 1, 2, j = 0, 1, i > j"]),
        ([f"‖q[{h}, {s}, :]‖²" for h in range(2) for s in range(4)], ["‖q[i, j, :]‖², i = 0, 1, j = 0…3"]),
        (["w[0, 3]", "w[5, 1]", "w[2, 2]"], ["w[i, j], (i, j) = (0, 3), (5, 1), (2, 2)"]),
        (["2 w[0]² − v[7]", "2 w[1]² − v[7]", "w[1]² − v[7]"], ["2 w[i]² − v[7], i = 0, 1", "w[1]² − v[7]"]),
    ],
    ids=["units", "paths", "pairs", "heads", "listed", "coefficients"],
)
def test_laws_that_differ_in_indices_are_one_line(names, lines):
    found = lines_of(names)
    assert [line.text for line in found] == lines
    assert sorted(place for line in found for place in line.members) == list(range(len(names)))


def heads(number=2, size=2, dim=3):
    """Attention with heads on an axis of their own."""
    shapes = {"q": (number, size, dim), "k": (number, size, dim), "v": (number, size, dim), "o": (number, dim, size)}
    params = {name: jax.random.normal(jax.random.key(i), shape) for i, (name, shape) in enumerate(shapes.items())}

    def apply(params, x):
        q, k, v = (jnp.einsum("hsd,nd->hns", params[name], x) for name in "qkv")
        return jnp.einsum("hds,hns->nd", params["o"], jax.nn.softmax(jnp.einsum("hns,hms->hnm", q, k)) @ v)

    return params, apply, jax.random.normal(jax.random.key(5), (12, 3, dim))


def test_sums_that_nearly_tie_are_told_apart():
    """Units of two layers that share the entries of a kernel: 13 entries on one side of it, 11 on the other."""
    entering, leaving = np.repeat(np.eye(2), 5, axis=1), np.repeat(np.eye(2), 3, axis=1)
    before, after = np.repeat(np.eye(2), 8, axis=1), np.tile(np.eye(2), 8)
    nothing = np.zeros((2, 10)), np.zeros((2, 6))
    laws = np.concatenate([np.hstack([-entering, before, nothing[1]]), np.hstack([nothing[0], -after, leaving])])
    space = np.linalg.qr(laws.T @ np.random.default_rng(0).standard_normal((4, 4)))[0].T
    found = sparse_basis(space, np.zeros((0, laws.shape[1])))
    signed = {tuple(np.rint(sign * row).astype(int)) for row in laws for sign in (-1, 1)}
    assert np.array_equal(found, np.rint(found)) and {tuple(row.astype(int)) for row in found} <= signed
    assert np.linalg.matrix_rank(found) == 4


@pytest.mark.slow
def test_heads_on_an_axis_are_named_as_in_a_paper():
    """QQᵀ − KKᵀ and VVᵀ − OᵀO of each of them."""
    found = mf.noether.symmetries(*(heads()[i] for i in (1, 0, 2)), family="slices")
    assert str(found).splitlines()[1:] == [
        "  ‖['q'][i, j, :]‖² − ‖['k'][i, j, :]‖², i = 0, 1, j = 0, 1",
        "  ⟨['q'][i, 1, :], ['q'][i, 0, :]⟩ − ⟨['k'][i, 1, :], ['k'][i, 0, :]⟩, i = 0, 1",
        "  ‖['v'][i, j, :]‖² − ‖['o'][i, :, j]‖², i = 0, 1, j = 0, 1",
        "  ⟨['v'][i, 1, :], ['v'][i, 0, :]⟩ − ⟨['o'][i, :, 1], ['o'][i, :, 0]⟩, i = 0, 1",
    ]
    params = heads()[0]
    q, k = params["q"], params["k"]
    expected = [[q[h, j] @ q[h, i] - k[h, j] @ k[h, i] for h in range(2)] for i, j in ((0, 0), (1, 1), (0, 1))]
    values = [law(params) for law in found.laws[:6]]
    np.testing.assert_allclose(np.sort(values), np.sort(np.ravel(expected)), atol=1e-12)


def test_what_was_found_is_stored(tmp_path):
    """Functions included: they are arrays."""
    params, apply = network((2, 2, 1), jax.nn.relu, True)
    x = 2 * jax.random.normal(jax.random.key(1), (40, 2))
    found = mf.noether.discover(apply, params, x)
    shifts = mf.noether.symmetries(lambda p, x: p["w"] @ x - jnp.mean(p["w"] @ x), {"w": jnp.ones((2, 2))}, x)
    assert [law.degree for law in shifts.laws] == [1, 1]
    drift = mf.noether.drift(mf.noether.track(found.laws).init(params))
    for thing in (found, shifts, drift):
        mf.save(tmp_path / "thing", thing)
        again = mf.load(tmp_path / "thing")
        assert stored.same(again, thing) and str(again) == str(thing)
    mf.save(tmp_path / "thing", found)
    again = mf.load(tmp_path / "thing")
    assert [float(law(params)) for law in again.laws] == [float(law(params)) for law in found.laws]


def test_equal_names_are_numbered():
    """Two laws of one kind are two rows and two entries."""
    params, entry = {"v": jnp.ones(3), "w": jnp.ones(3)}, mf.noether.squared_norm
    laws = [entry(lambda p: p["v"]), entry(lambda p: p["w"]), entry(lambda p: p["w"])]
    drift = mf.noether.drift(mf.noether.track(laws).init(params))
    name = laws[0].name
    assert drift.names == (name, f"{name} (2)", f"{name} (3)") and tuple(drift.as_dict()) == drift.names
    assert len(str(drift).splitlines()) == 5
