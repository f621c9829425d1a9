"""Compact groups and their representations: closures, homomorphisms, Haar samples, quadratures, fixed spaces."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import mfsym as mf
from mfsym.errors import ArgumentError
from mfsym.groups import fixed_space, mean_trace

PLANE = np.array([[[0.0, -1.0], [1.0, 0.0]]])
SKEW = lambda i, j: np.eye(3)[:, [i]] @ np.eye(3)[[j]] - np.eye(3)[:, [j]] @ np.eye(3)[[i]]  # noqa: E731
SPIN_ONE = np.stack([SKEW(1, 0), SKEW(2, 0), SKEW(2, 1)])
FIFTH = np.pi / 2.5
TURN = np.array([[np.cos(FIFTH), -np.sin(FIFTH)], [np.sin(FIFTH), np.cos(FIFTH)]])
BASIS = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]

GROUPS = {
    "C1": mf.cyclic(1),
    "C4": mf.cyclic(4),
    "C5": mf.cyclic(5),
    "D3": mf.dihedral(3),
    "D4": mf.dihedral(4),
    "S3": mf.symmetric(3),
    "S4": mf.symmetric(4),
    "B2": mf.signed_permutations(2),
    "B3": mf.signed_permutations(3),
    "swap": mf.generate([[0.0, 1.0], [1.0, 0.0]]),
    "oblique": mf.generate(np.eye(3) - 2 * np.outer(BASIS[0], BASIS[0])),
    "SO2": mf.SO(2),
    "O2": mf.O(2),
    "SO3": mf.SO(3),
    "O3": mf.O(3),
    "C3xS2": mf.product(mf.cyclic(3), mf.symmetric(2)),
    "C2xSO2": mf.product(mf.generate(-np.eye(1)), mf.SO(2)),
    "O1": mf.O(1),
}
ORDERS = {
    "C1": 1,
    "C4": 4,
    "C5": 5,
    "D3": 6,
    "D4": 8,
    "S3": 6,
    "S4": 24,
    "B2": 8,
    "B3": 48,
    "swap": 2,
    "oblique": 2,
    "O1": 2,
}


def representations(group):
    """Several of every group, sums and products among them."""
    found = {"standard": group.standard, "determinant": group.determinant, "two": group.standard * group.standard}
    found["sum"] = 2 * group.standard + group.trivial(2) + group.determinant
    if group.size == 2:
        found["frequency"] = group.frequency(3) * group.standard
    if group.order is not None and group.order <= 8:
        found["regular"] = group.regular
    return found


PAIRS = [(name, kind) for name, group in GROUPS.items() for kind in representations(group)]


def some_elements(group):
    """Twelve of them: those of a finite group in turn, random ones of others."""
    if group.order is not None:
        return np.resize(np.asarray(group.elements), (12, group.size, group.size))
    return np.asarray(group.sample(jax.random.key(1), 12))


def on_host(rule):
    return tuple(np.asarray(each, dtype=float) for each in rule)


@pytest.mark.parametrize("name", GROUPS)
def test_representations_are_orthogonal_homomorphisms(name):
    group = GROUPS[name]
    left, right = np.split(some_elements(group), 2)
    for representation in representations(group).values():
        images = [representation.at(each) for each in (left, right, left @ right)]
        np.testing.assert_allclose(images[0] @ images[1], images[2], atol=1e-12)
        ones = np.broadcast_to(np.eye(representation.size), images[0].shape)
        np.testing.assert_allclose(images[0] @ np.swapaxes(images[0], 1, 2), ones, atol=1e-12)


def test_representations_are_the_same_traced():
    """On the host in numpy, and by jax inside of one compiled function."""
    group = GROUPS["D4"]
    found = [*representations(group).values(), mf.representation(group, group.standard.at(np.asarray(group.components)))]
    traced = jax.jit(lambda elements: [representation.at(elements) for representation in found])(group.elements)
    for image, representation in zip(traced, found, strict=True):
        np.testing.assert_allclose(image, representation.at(np.asarray(group.elements)), atol=1e-12)


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name):
    group = GROUPS[name]
    elements = np.asarray(group.elements)
    assert group.order == len(elements) == ORDERS[name]
    np.testing.assert_array_equal(elements[0], np.eye(group.size))
    gaps = [np.max(np.abs(a - b)) for a, b in itertools.combinations(elements, 2)]
    assert not gaps or min(gaps) > 0.1


def test_dimensions_of_fixed_spaces_are_mean_traces():
    """Null space against the mean over all elements, or over an exact quadrature."""
    assert len(PAIRS) >= 30
    for name, kind in PAIRS:
        representation = representations(GROUPS[name])[kind]
        rule = on_host(GROUPS[name].quadrature(representation.degree))
        found, expected = len(fixed_space((representation,))), mean_trace((representation,), *rule)
        assert found == pytest.approx(expected, abs=1e-10), (name, kind)


def test_dimensions_that_are_known():
    """Of maps, by hand: C_n on functions on itself n, S_n 2, SO(2) 2, O(2) 1, SO(n) 1, third tensors of the plane 0."""
    maps = lambda representation: len(fixed_space((representation, representation)))  # noqa: E731
    assert [maps(mf.cyclic(n).regular) for n in (2, 3, 7)] == [2, 3, 7]
    assert [maps(mf.symmetric(n).standard) for n in (2, 3, 5)] == [2, 2, 2]
    assert [maps(group.standard) for group in (mf.SO(2), mf.O(2), mf.SO(3), mf.SO(5), mf.O(5))] == [2, 1, 1, 1, 1]
    assert len(fixed_space((mf.SO(2).standard,) * 3)) == 0
    assert len(fixed_space((mf.SO(3).standard,) * 3)) == 1  # the volume
    assert len(fixed_space((mf.O(3).standard,) * 3)) == 0


@pytest.mark.parametrize("name", GROUPS)
def test_bases_of_fixed_spaces(name):
    """Orthonormal, and fixed; the projector is the mean over the group."""
    group = GROUPS[name]
    representation = group.standard * group.standard
    basis, (elements, weights) = fixed_space((representation,)), on_host(group.quadrature(2))
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    np.testing.assert_allclose(basis.T @ basis, np.einsum("q,qij->ij", weights, representation.at(elements)), atol=1e-12)


def test_a_basis_of_orbits_is_exact():
    found = fixed_space((mf.generate([[0.0, 1.0], [1.0, 0.0]]).standard,) * 2)
    np.testing.assert_allclose(found, np.array([[1, 0, 0, 1], [0, 1, 1, 0]]) / np.sqrt(2), atol=1e-15)


@pytest.mark.parametrize("name", ["SO2", "O2", "SO3", "O3", "C2xSO2", "D4"])
def test_samples_are_those_of_haar(name):
    """The mean of R(g) over 4096 samples is within five standard errors of the projector."""
    group = GROUPS[name]
    sample = np.asarray(group.sample(jax.random.key(2), 4096))
    for representation in (group.standard, group.standard * group.standard):
        images, basis = representation.at(sample), fixed_space((representation,))
        error = np.std(images, axis=0) / np.sqrt(len(images))
        assert np.all(np.abs(np.mean(images, axis=0) - basis.T @ basis) < 5 * error + 1e-12)


@pytest.mark.parametrize(("name", "law"), [("SO3", scipy.stats.special_ortho_group), ("O3", scipy.stats.ortho_group)])
def test_samples_have_the_law_of_scipy(name, law):
    """Two samples, by the traces of g and of g²: the classes of rotations, and the components."""
    ours = np.asarray(GROUPS[name].sample(jax.random.key(3), 2000))
    theirs = law.rvs(3, size=2000, random_state=0)
    for power in (1, 2):
        traces = [np.trace(np.linalg.matrix_power(each, power), axis1=1, axis2=2) for each in (ours, theirs)]
        assert scipy.stats.ks_2samp(*traces).pvalue > 0.01
    if name == "SO3":
        np.testing.assert_allclose(np.linalg.det(ours), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", ["SO2", "O2", "SO3", "O3", "C2xSO2", "C3xS2"])
def test_quadratures_are_exact(name):
    """Entries of ⊗^k against the null space, to 1e-12, for k up to the degree; one degree less is not enough."""
    group = GROUPS[name]
    for degree in range(5):
        elements, weights = on_host(group.quadrature(degree))
        assert np.sum(weights) == pytest.approx(1, abs=1e-14) and np.all(weights > 0)
        for power in range(1, degree + 1):
            representation = math.prod([group.standard] * (power - 1), start=group.standard)
            basis = fixed_space((representation,))
            mean = np.einsum("q,qij->ij", weights, representation.at(elements))
            np.testing.assert_allclose(mean, basis.T @ basis, atol=1e-12)
    if name in ("SO2", "SO3"):
        elements, weights = on_host(group.quadrature(1))
        square = (group.standard * group.standard).at(elements)
        basis = fixed_space((group.standard * group.standard,))
        assert np.max(np.abs(np.einsum("q,qij->ij", weights, square) - basis.T @ basis)) > 0.1


def test_the_regular_representation_of_a_cyclic_group_shifts():
    group = mf.cyclic(5)
    np.testing.assert_array_equal(group.regular.at(np.asarray(group.components))[0], np.roll(np.eye(5), 1, axis=0))


def test_representations_by_images_of_generators():
    """Those of the regular representation, and of frequencies of the plane."""
    group = mf.dihedral(4)
    copied = mf.representation(group, group.regular.at(np.asarray(group.components)))
    elements = np.asarray(group.elements)
    np.testing.assert_allclose(copied.at(elements), group.regular.at(elements))
    plane = mf.representation(mf.O(2), mf.O(2).components, 3 * PLANE)
    elements = some_elements(mf.O(2))
    np.testing.assert_allclose(plane.at(elements), mf.O(2).frequency(3).at(elements), atol=1e-12)
    assert plane.degree == 3


@pytest.mark.slow
def test_representations_of_rotations_of_space_by_images():
    """The standard one, of elements in general position, of the identity and of half turns; traced as well."""
    space = mf.representation(mf.O(3), mf.O(3).components, SPIN_ONE)
    elements = np.concatenate([some_elements(mf.O(3)), np.eye(3)[None], np.diag([1.0, -1, -1])[None]])
    np.testing.assert_allclose(space.at(elements), elements, atol=1e-12)
    np.testing.assert_allclose(space.at(jnp.asarray(elements)), elements, atol=1e-12)
    tangents = np.random.default_rng(0).standard_normal((2, 3)) @ SPIN_ONE.reshape(3, 9)
    np.testing.assert_allclose(space.derivative(tangents.reshape(2, 3, 3)), tangents.reshape(2, 3, 3), atol=1e-14)


@pytest.mark.parametrize("name", ["SO2", "O2", "SO3", "C2xSO2"])
def test_derivatives_are_those_along_the_algebra(name):
    group, step = GROUPS[name], 1e-5
    for tangent in np.asarray(group.algebra):
        ends = np.stack([scipy.linalg.expm(sign * step * tangent) for sign in (1, -1)])
        for representation in representations(group).values():
            ahead, behind = representation.at(ends)
            np.testing.assert_allclose(representation.derivative(tangent[None])[0], (ahead - behind) / (2 * step), atol=1e-8)


def test_factors_of_a_product():
    """g = (g_1, g_2) acts by each of them."""
    left, right = mf.cyclic(3), mf.symmetric(4)
    both = mf.product(left, right)
    element = np.asarray(both.elements)[[17, 50]]
    np.testing.assert_array_equal(both.of_factor(0, left.standard).at(element), element[:, :2, :2])
    np.testing.assert_array_equal(both.of_factor(1, right.standard).at(element), element[:, 2:, 2:])
    assert both.order == 72 and len(both.components) == 3
    parts = both.of_factor(0, left.regular) * both.of_factor(1, right.standard)
    assert len(fixed_space((parts, parts))) == 3 * 2


def test_groups_of_symmetries_are_groups_with_two_representations():
    """FiniteGroup and BlockOrthogonal say T and s of one compact group."""
    finite = mf.generate(mf.Symmetry(-1, -np.eye(3)), mf.Symmetry(1, np.eye(3)[[1, 0, 2]]))
    elements = np.asarray(finite.inputs.group.elements)
    np.testing.assert_array_equal(finite.inputs.at(elements), finite.matrices)
    np.testing.assert_array_equal(finite.outputs.at(elements)[:, 0, 0], finite.signs)
    blocks = mf.BlockOrthogonal((2, 1), kept=(1,), basis=BASIS)
    inner = BASIS @ blocks.inputs.at(some_elements(blocks.inputs.group)) @ BASIS.T
    np.testing.assert_allclose(inner[:, 2], np.broadcast_to([0, 0, 1.0], (12, 3)), atol=1e-12)
    np.testing.assert_allclose(np.abs(fixed_space((blocks.inputs,))), np.abs(BASIS[[2]]), atol=1e-12)
    assert fixed_space((mf.BlockOrthogonal((3,), kept=(0,)).inputs,)).shape == (3, 3)


HALF = np.array([[np.cos(FIFTH / 2), -np.sin(FIFTH / 2)], [np.sin(FIFTH / 2), np.cos(FIFTH / 2)]])
WRONG = {
    "a broken relation": (lambda: mf.representation(mf.cyclic(5), HALF[None]), "images", "homomorphism"),
    "no homomorphism of the quaternions": (
        lambda: mf.representation(mf.SO(3), np.zeros((0, 2, 2)), np.stack([PLANE[0]] * 3)),
        "algebra",
        "homomorphism",
    ),
    "half a turn": (lambda: mf.representation(mf.SO(2), np.zeros((0, 2, 2)), PLANE / 2), "algebra", "homomorphism"),
    "images that are not orthogonal": (lambda: mf.representation(mf.cyclic(2), 2 * np.eye(2)[None]), "images", "orthogonal"),
    "a matrix that is not orthogonal": (lambda: mf.generate(np.ones((2, 2))), "generators", "orthogonal"),
    "an infinite group": (lambda: mf.generate([[0.6, -0.8], [0.8, 0.6]], largest=100), "generators", "at most 100"),
    "a large group": (lambda: mf.symmetric(7), "generators", "at most 4096"),
    "a mixture": (lambda: mf.generate(np.eye(2), mf.Symmetry(1, np.eye(2))), "generators", "Symmetry"),
    "a rule for rotations of R^4": (lambda: mf.SO(4).quadrature(1), "group", "sample(key, count)"),
    "all rotations": (lambda: mf.SO(2).elements, "group", "finite"),
    "frequencies in space": (lambda: mf.SO(3).frequency(2), "group", "[2, 2]"),
    "two groups": (lambda: mf.cyclic(3).standard + mf.cyclic(4).standard, "representation", "same group"),
    "of another factor": (
        lambda: mf.product(mf.cyclic(3), mf.SO(2)).of_factor(1, mf.cyclic(3).standard),
        "representation",
        "same group",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_groups_and_representations(name):
    call, argument, words = WRONG[name]
    with pytest.raises(ArgumentError, match=f"^Argument `{argument}` must be ") as caught:
        call()
    assert words in str(caught.value)
