"""Data augmentation, feature averaging and equivariant architectures: identities that hold at every width, for every law.

Each is a number got in two ways. The risks are checked against means over moved data and averaged outputs, written out, that
know nothing of an action on neurons; velocities against automatic differentiation and central differences of the values.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from maass_fontbona import TEACHERS, UNIT, matrices
from symmetric_problems import CASES, case, cloud_of, data_of, distance, marks_of, problem_of, schemes_of

import mfsym as mf
from mfsym.neurons import images_of

NAMES = [pytest.param(name, marks=marks_of(name), id=name) for name in CASES]
WIDTH = 4


def elements_of(name):
    """Elements and weights of a mean over the group that resolves the unit."""
    action, _, degree, _ = case(name)
    return action.quadrature(degree)


def moved_data(name):
    """The data moved by every element, as one weighted data set."""
    action, data, (elements, weights) = case(name).action, data_of(name), elements_of(name)
    x, y = (jax.vmap(f, (0, None))(elements, v) for f, v in ((action.move_input, data.x), (action.move_output, data.y)))
    shares = jnp.outer(weights, data.weights).ravel()
    return mf.Empirical(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), shares / jnp.sum(shares))


def averaged_outputs(name, cloud, x):
    """Q_G Φ at rows x: the mean of ρ̂_g⁻¹ Φ(ρ_g x)."""
    action, (elements, weights) = case(name).action, elements_of(name)
    images = jax.lax.map(lambda g: action.move_output(g.T, outputs(name, cloud, action.move_input(g, x))), elements)
    return jnp.tensordot(weights, images, 1)


def outputs(name, cloud, x):
    """Φ at rows x."""
    return jax.vmap(lambda row: jnp.mean(jax.vmap(case(name).unit, (0, None))(cloud, row), axis=0))(x)


def mean(data, values):
    return jnp.sum(data.weights * values)


def mean_loss(data, outputs):
    return mean(data, 0.5 * jnp.sum((outputs - data.y) ** 2, axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_moved_data_and_of_averaged_networks(name):
    """The table of the schemes; R^FA = R(μ^G) = R^DA(μ^G); R^DA − R^FA = ½E|(I − Q)Φ|² ≥ 0."""
    problem, data, moved = problem_of(name), data_of(name), moved_data(name)
    risks = {scheme: mf.risk_of(problem, scheme=how) for scheme, how in schemes_of(name).items()}

    @jax.jit
    def numbers(cloud):
        found = {scheme: (risk.value(cloud), risk.energy(cloud)) for scheme, risk in risks.items()}
        plain, averaged = outputs(name, cloud, moved.x), averaged_outputs(name, cloud, data.x)
        fixed = outputs(name, case(name).action.project(cloud), data.x)
        expected = {
            "DA": (mean_loss(moved, plain), mean(moved, jnp.sum(plain**2, axis=1))),
            "FA": (mean_loss(data, averaged), mean(data, jnp.sum(averaged**2, axis=1))),
            "EA": (mean_loss(data, fixed), mean(data, jnp.sum(fixed**2, axis=1))),
        }
        return found, expected, mean(moved, jnp.sum((plain - averaged_outputs(name, cloud, moved.x)) ** 2, axis=1))

    found, expected, defect = numbers(cloud_of(name, WIDTH))
    for scheme, pair in expected.items():
        np.testing.assert_allclose(found[scheme], pair, rtol=1e-13)
    np.testing.assert_allclose(found["DA"][0] - found["FA"][0], defect / 2, rtol=1e-11)
    assert defect > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_velocities_are_derivatives_of_the_values(name):
    """−m times the gradient of the value, by automatic differentiation, and one direction by central differences."""
    problem = problem_of(name)
    risks = [mf.risk_of(problem, scheme=how) for how in schemes_of(name).values()]

    @jax.jit
    def numbers(cloud, direction):
        sides = [jax.tree.map(lambda z, u, s=s: z + s * u, cloud, direction) for s in (1e-5, -1e-5)]
        return [
            (risk.velocity(cloud), jax.grad(risk.value)(cloud), jnp.stack([risk.value(side) for side in sides]))
            for risk in risks
        ]

    direction = cloud_of(name, WIDTH, seed=1)
    for velocity, slope, sides in numbers(cloud_of(name, WIDTH), direction):
        assert distance(velocity, jax.tree.map(lambda leaf: -WIDTH * leaf, slope)) < 1e-13
        along = sum(jnp.sum(v * u) for v, u in zip(*map(jax.tree.leaves, (velocity, direction)), strict=True))
        np.testing.assert_allclose(-WIDTH * (sides[0] - sides[1]) / 2e-5, along, rtol=1e-6, atol=1e-9)


def orbit_of(name, width):
    """The images of a cloud under a quadrature that resolves the unit: a weakly invariant law."""
    return images_of(cloud_of(name, width), case(name).action, elements_of(name)[0])


def states_and_velocities(name, symmetric):
    """Values and velocities of all schemes, plain training last, at an orbit, at fixed neurons and at a general cloud."""
    problem, schemes = problem_of(name, symmetric=symmetric), schemes_of(name)
    risks = {scheme: mf.risk_of(problem, scheme=how) for scheme, how in (schemes | {"plain": None}).items()}
    general = cloud_of(name, WIDTH)
    clouds = {"orbit": orbit_of(name, 2), "fixed": case(name).action.project(general), "general": general}

    @jax.jit
    def numbers(clouds):
        at = lambda risk: {place: (risk.value(cloud), risk.velocity(cloud)) for place, cloud in clouds.items()}  # noqa: E731
        return {scheme: at(risk) for scheme, risk in risks.items()}

    return numbers(clouds)


def same(one, other, tolerance=1e-13):
    """Whether two pairs of a value and a velocity are the same."""
    return abs(one[0] - other[0]) < tolerance * max(1, abs(other[0])) and distance(one[1], other[1]) < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_on_symmetric_laws_the_schemes_agree(name):
    """DA = FA on orbits and DA = FA = EA on fixed neurons, for any data; for symmetric ones plain training joins."""
    found, action = states_and_velocities(name, False), case(name).action
    assert same(found["DA"]["orbit"], found["FA"]["orbit"])
    assert same(found["DA"]["fixed"], found["FA"]["fixed"]) and same(found["FA"]["fixed"], found["EA"]["fixed"])
    leaving = found["plain"]["fixed"][1]
    assert distance(action.project(leaving), found["EA"]["fixed"][1]) < 1e-13
    assert distance(leaving, found["EA"]["fixed"][1]) > 1e-3
    assert found["FA"]["general"][0] < found["DA"]["general"][0]
    found = states_and_velocities(name, True)
    assert same(found["plain"]["general"], found["DA"]["general"])
    assert same(found["plain"]["orbit"], found["FA"]["orbit"]) and same(found["DA"]["orbit"], found["FA"]["orbit"])
    assert all(same(found["plain"]["fixed"], found[scheme]["fixed"]) for scheme in ("DA", "FA", "EA"))


@pytest.mark.parametrize("name", ["C2", pytest.param("D3", marks=pytest.mark.slow)])
def test_averaging_over_representatives_is_plain_training_of_their_orbits(name):
    """Neuron by neuron, for symmetric data."""
    problem, cloud = problem_of(name, symmetric=True), cloud_of(name, WIDTH)
    action, few = case(name).action, mf.risk_of(problem, scheme=schemes_of(name)["FA"])
    elements, _ = action.quadrature(None)
    many = mf.risk_of(problem).velocity(images_of(cloud, action, elements))
    assert distance(images_of(few.velocity(cloud), action, elements), many) < 1e-13


@pytest.mark.slow
def test_a_quadrature_of_degree_one_keeps_the_fixed_neurons_of_rotations():
    """Identity 6 of matrices of rotations needs their entries integrated, and nothing of the unit."""
    action = case("SO(2)").action
    problem, fixed = problem_of("SO(2)"), action.project(cloud_of("SO(2)", WIDTH))
    coarse = mf.DataAugmentation(action, degree=1)
    assert coarse.elements.shape[0] == 2
    exact = mf.risk_of(problem, scheme=mf.EquivariantArchitecture(action)).velocity(fixed)
    assert distance(mf.risk_of(problem, scheme=coarse).velocity(fixed), exact) < 1e-13
    general = cloud_of("SO(2)", WIDTH)
    fine = mf.risk_of(problem, scheme=schemes_of("SO(2)")["DA"]).value(general)
    assert abs(mf.risk_of(problem, scheme=coarse).value(general) / fine - 1) > 1e-6  # which the value is not


STATIC = {
    "arbitrary": [0.2025826122, 0.1299700760, 0.08746821814, 0.09262305919],
    "WI": [0.09687422966, 0.09687422966, 0.05437237185, 0.05952721290],
}


@pytest.mark.parametrize("teacher", STATIC)
def test_published_experiment_at_two_neurons(teacher):
    """Twice the risk of plain training, DA, FA, EA at two matrices, by numbers that other code computed."""
    problem = mf.Problem(mf.cubature(mf.Gaussian(2, 4.0), nodes=32), TEACHERS[teacher], UNIT)
    found = [2 * mf.risk_of(problem, scheme=how).value(matrices(2)) for how in (None, *schemes_of("C2").values())]
    np.testing.assert_allclose(found, STATIC[teacher], atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_of_a_scheme_is_a_unit(name):
    """FA and EA as units of the problem have the risk of the scheme, by another path; their networks are equivariant."""
    action, unit, _, _ = case(name)
    problem, cloud, schemes = problem_of(name), cloud_of(name, WIDTH), schemes_of(name)
    x, g = problem.inputs.x, action.group.sample(jax.random.key(3), 1)[0]
    for scheme in ("FA", "EA"):
        model = schemes[scheme].model(unit)
        own = mf.risk_of(mf.Problem(data_of(name), unit=model))
        risk = mf.risk_of(problem, scheme=schemes[scheme])
        np.testing.assert_allclose(own.value(cloud), risk.value(cloud), rtol=1e-13)
        assert distance(own.velocity(cloud), risk.velocity(cloud)) < 1e-13
        there = mf.predict(cloud, action.move_input(g, x), unit=model)
        np.testing.assert_allclose(there, action.move_output(g, mf.predict(cloud, x, unit=model)), atol=1e-13)
