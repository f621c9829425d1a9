"""The law of the angle, the quadrature over it, and starts on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import mfsym as mf
from mfsym.reduced.angles.law import cell_probabilities, label_angles, log_density
from mfsym.reduced.rules.quadrature import crowded, grid, node_rule


def law(theta, dim_h, dim_perp, signed):
    values = np.exp(log_density(np.atleast_1d(theta), dim_h, dim_perp, signed))
    return values if np.ndim(theta) else values[0]


@pytest.mark.parametrize(
    ("dim_h", "dim_perp", "signed"),
    [(1, 1, False), (1, 1, True), (5, 25, False), (2, 2, False), (3, 1, False), (1, 19, True), (1, 19, False)],
)
def test_cells_and_nodes_integrate_the_law(dim_h, dim_perp, signed):
    end = np.pi if signed else np.pi / 2
    cells = cell_probabilities(24, dim_h, dim_perp, signed)
    faces = grid(24, end)[1]
    for i in (0, 7, 12, 23):
        exact, _ = scipy.integrate.quad(law, faces[i], faces[i + 1], (dim_h, dim_perp, signed), epsabs=0)
        assert cells[i] == pytest.approx(exact, rel=1e-10)  # tails to full relative accuracy
    assert cells.sum() == pytest.approx(1, abs=1e-14)
    theta, weight = node_rule(63, end)
    assert weight @ law(theta, dim_h, dim_perp, signed) == pytest.approx(1, abs=1e-12)
    cosine = weight * law(theta, dim_h, dim_perp, signed) @ np.cos(theta) ** 2
    assert cosine == pytest.approx(dim_h / (dim_h + dim_perp), abs=1e-12)


@pytest.mark.parametrize(
    ("dim_h", "dim_perp", "signed"),
    [(1, 1, False), (1, 1, True), (5, 25, False), (3, 1, False), (1, 9999, True), (5, 9995, False), (5000, 5000, False)],
)
def test_labels_crowd_where_the_law_is(dim_h, dim_perp, signed):
    """As many as there are by default integrate it in any dimension, where equally spaced ones see nothing of it."""
    theta, log_law = label_angles(127, dim_h, dim_perp, signed)
    end = np.pi if signed else np.pi / 2
    weight = node_rule(127, end)[1] * np.exp(log_law)
    dim, squares = dim_h + dim_perp, np.cos(theta) ** 2
    assert weight.sum() == pytest.approx(1, abs=1e-9)
    third = np.prod((dim_h + 2 * np.arange(3)) / (dim + 2 * np.arange(3)))  # E cos⁶θ, cos²θ ~ Beta(d_H/2, d_⊥/2)
    assert [weight @ squares, weight @ squares**3] == pytest.approx([dim_h / dim, third], rel=1e-7)
    assert np.all(np.diff(theta) > 0) and theta[0] > 0 and theta[-1] < end
    np.testing.assert_allclose(theta[1::2], label_angles(63, dim_h, dim_perp, signed)[0], rtol=1e-9)


def test_the_map_of_crowded_nodes():
    nodes, step = np.linspace(0.0, np.pi, 9), 1e-6
    theta, log_slope = crowded(nodes, np.pi, 1.2, 0.05)
    np.testing.assert_allclose(theta[[0, -1]], [0.0, np.pi], atol=1e-13)
    ahead, behind = (crowded(nodes + h, np.pi, 1.2, 0.05)[0] for h in (step, -step))
    np.testing.assert_allclose((ahead - behind) / (2 * step), np.exp(log_slope), rtol=1e-8)


def test_law_of_random_directions():
    b = np.random.default_rng(5).standard_normal((200_000, 9))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    count = len(b)
    for angle, dim_h, signed in (
        (np.arccos(np.linalg.norm(b[:, :3], axis=1)), 3, False),
        (np.arccos(b[:, 0]), 1, True),
    ):
        expected = cell_probabilities(20, dim_h, 9 - dim_h, signed)
        seen, _ = np.histogram(angle, grid(20, np.pi if signed else np.pi / 2)[1])
        assert np.all(np.abs(seen - count * expected) < 4.5 * np.sqrt(count * expected) + 3)


def test_nodes_are_nested():
    fine, coarse = node_rule(127, np.pi)[0], node_rule(63, np.pi)[0]
    np.testing.assert_allclose(fine[1::2], coarse, atol=1e-14)


def towards_the_ends(rate, theta):
    return jnp.exp(rate * jnp.cos(2 * theta))


def start_density(rate):
    return jax.tree_util.Partial(towards_the_ends, rate)


PROBLEMS = {
    "radial": (mf.Gaussian(12), mf.SubspaceNorm(3)),
    "single-index": (mf.Gaussian(6), mf.LinearTarget([1.0, 0, 0, 0, 0, 0])),
}


def crowded_slope(reduced, dim_h, dim_perp):
    """log dθ/dx at the labels: what the law per unit of their variable has that the law of the angle has not."""
    theta, log_law = label_angles(reduced.nodes, dim_h, dim_perp, reduced.signed)
    np.testing.assert_array_equal(theta, reduced.node_angles)
    return log_law - np.log(law(theta, dim_h, dim_perp, reduced.signed))


@pytest.mark.parametrize("kind", PROBLEMS)
def test_angular_start(kind):
    """Normalised, split into the two masses, and equal on cells and nodes."""
    start = mf.AngularStart(start_density(jnp.asarray(1.3)), 0.7, 0.2)
    reduced = mf.reduce(mf.Problem(*PROBLEMS[kind], start=start), cells=32, nodes=63, modes=16)
    np.testing.assert_allclose(jnp.sum(reduced.cell_masses, axis=1), [0.7, 0.2], rtol=1e-14)
    weight, slope = node_rule(63, reduced.end)[1], np.exp(crowded_slope(reduced, *((3, 9) if kind == "radial" else (1, 5))))
    on_nodes = np.exp(np.asarray(reduced.node_log_density))
    np.testing.assert_allclose(on_nodes @ weight, [0.7, 0.2], rtol=1e-13)
    dim_h, dim = (3, 12) if kind == "radial" else (1, 6)

    def density(t):
        return np.exp(1.3 * np.cos(2 * t)) * law(t, dim_h, dim - dim_h, reduced.signed)

    total, _ = scipy.integrate.quad(density, 0, reduced.end, epsabs=1e-13)
    np.testing.assert_allclose(on_nodes[0], 0.7 * slope * density(np.asarray(reduced.node_angles)) / total, rtol=1e-10)
    faces = grid(32, reduced.end)[1]
    exact = [scipy.integrate.quad(density, *faces[i : i + 2], epsabs=0)[0] / total for i in (0, 10, 31)]
    np.testing.assert_allclose(reduced.cell_masses[1, jnp.array([0, 10, 31])], 0.2 * np.array(exact), rtol=1e-10)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_constant_density_is_the_sphere(kind):
    starts = mf.SphereStart(0.3, 0.6), mf.AngularStart(lambda theta: 2.5, 0.3, 0.6)
    sphere, angular = (mf.reduce(mf.Problem(*PROBLEMS[kind], start=s), cells=32, nodes=63, modes=16) for s in starts)
    np.testing.assert_allclose(angular.cell_masses, sphere.cell_masses, rtol=1e-12)
    np.testing.assert_allclose(angular.node_log_density, sphere.node_log_density, atol=1e-11)


def test_gradient_with_respect_to_a_density():
    inputs, target = PROBLEMS["radial"]
    weight = jnp.asarray(node_rule(63, np.pi / 2)[1] * np.cos(label_angles(63, 3, 9, False)[0]) ** 2)
    centres = jnp.asarray(np.cos(grid(32, np.pi / 2)[0]) ** 2)

    def alignments(rate):
        start = mf.AngularStart(start_density(rate), 0.7, 0.2)
        reduced = mf.reduce(mf.Problem(inputs, target, start=start), cells=32, nodes=63, modes=16)
        on_nodes = jnp.sum(weight * jnp.exp(reduced.node_log_density[0]))
        return jnp.stack([on_nodes, jnp.sum(centres * reduced.cell_masses[0])])

    rate, step = jnp.asarray(1.3), 1e-5
    alignments = jax.jit(alignments)
    differences = (alignments(rate + step) - alignments(rate - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(alignments))(rate), differences, rtol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.jacrev(alignments))(rate), differences, rtol=1e-7)
    assert abs(float(differences[0])) > 0.01


def test_one_sign_may_be_absent():
    start = mf.SphereStart(0.0, 1.0)
    reduced = mf.reduce(mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2), start=start), cells=16, nodes=31, modes=16)
    assert float(jnp.sum(reduced.cell_masses[0])) == 0 and jnp.all(reduced.node_log_density[0] == -jnp.inf)
