"""Derivatives against central differences on twenty random problems: every solver, both modes, time and start included."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import mfsym as mf

SIZES = {"cells": 32, "nodes": 31, "modes": 12}
TIGHT = {"rtol": 1e-10, "atol": 1e-11}
RADIAL, SIGNED = ((6, 2), (9, 3), (14, 4), (20, 5)), ((5, 1), (8, 1), (12, 1))
NAMES = ("target scale", "first mode of the density", "second mode", "mass of τ⁺", "mass of τ⁻", "time")

FIRST_AND_OTHERS = pytest.mark.parametrize(
    "which", [slice(1), pytest.param(slice(1, None), marks=pytest.mark.study)], ids=["first", "others"]
)


class Tilt(eqx.Module):
    """exp(c_1 cos kθ + c_2 cos 2kθ): a density whose coefficients are leaves."""

    coefficients: Array
    wave: int = eqx.field(static=True)

    def __call__(self, theta):
        c, angle = self.coefficients, self.wave * theta
        return jnp.exp(c[0] * jnp.cos(angle) + c[1] * jnp.cos(2 * angle))


class Profile(eqx.Module):
    """scale · (c_1 + c_2 tanh z + c_3 z²)."""

    scale: Array
    coefficients: Array

    def __call__(self, z):
        c = self.coefficients
        return self.scale * (c[0] + c[1] * jnp.tanh(z) + c[2] * z**2)


class Case(NamedTuple):
    """A random problem: dimensions, coefficients of its profile, and the parameters in the order of NAMES."""

    dim: int
    dim_h: int
    profile: Array
    point: Array


def draw_cases(count, shapes, generator):
    def one():
        dim, dim_h = shapes[generator.integers(len(shapes))]
        masses, tilt = generator.uniform(0.3, 0.9, 2), generator.uniform(-0.6, 0.6, 2)
        point = [generator.uniform(0.6, 1.6), *tilt, *masses, generator.uniform(0.5, 3.0)]
        return Case(dim, dim_h, jnp.asarray(generator.uniform(0.3, 1.0, 3)), jnp.asarray(point))

    return [one() for _ in range(count)]


def fourth_order_differences(function, point, step):
    """Central differences at two distances, extrapolated: error O(step⁴), so that the step can stay above the noise."""

    def central(direction, h):
        return (float(function(point + h * direction)) - float(function(point - h * direction))) / (2 * h)

    return np.array([(4 * central(e, step) - central(e, 2 * step)) / 3 for e in np.eye(len(point))])


def relative(found, expected):
    return np.abs(np.asarray(found) - expected) / np.abs(expected)


@eqx.filter_jit
def reduced_equation(parameters, profile, dim, dim_h, signed):
    start = mf.AngularStart(Tilt(parameters[1:3], 1 if signed else 2), parameters[3], parameters[4])
    target = mf.SingleIndex(Profile(parameters[0], profile)) if signed else mf.SubspaceNorm(dim_h, parameters[0])
    return mf.reduce(mf.Problem(mf.Gaussian(dim), target, start=start), **SIZES)


def final_risk(reduced, time, method, derivative):
    ts = jnp.stack([jnp.zeros_like(time), 0.4 * time, time])
    return mf.solve_reduced(reduced, ts, method=method, derivative=derivative, **TIGHT).risk[-1]


value_of = eqx.filter_jit(lambda reduced, time, method: final_risk(reduced, time, method, "reverse"))


@eqx.filter_jit
def reverse(reduced, time, method):
    return jax.grad(lambda both: final_risk(*both, method, "reverse"))((reduced, time))


@eqx.filter_jit
def forward(reduced, time, tangents, method):
    run = lambda reduced, time: final_risk(reduced, time, method, "forward")  # noqa: E731
    return jax.jvp(run, (reduced, time), tangents)[1]


def both_modes(case, signed, method):
    """The gradient in NAMES by either mode, through `reduce` by the chain rule: its shapes are few, so compilations are."""
    build = lambda p: reduced_equation(p, case.profile, case.dim, case.dim_h, signed)  # noqa: E731
    reduced, time = build(case.point), case.point[-1]
    columns = [jax.jvp(build, (case.point,), (e,))[1] for e in jnp.eye(len(case.point))]
    tangents = [(column, jnp.asarray(float(i == len(NAMES) - 1))) for i, column in enumerate(columns)]
    slopes = jax.tree.leaves(reverse(reduced, time, method))
    backward = [sum(float(jnp.sum(s * t)) for s, t in zip(slopes, jax.tree.leaves(t), strict=True)) for t in tangents]
    return backward, [float(forward(reduced, time, t, method)) for t in tangents]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "characteristics"])
@FIRST_AND_OTHERS
@pytest.mark.parametrize("shapes, count, seed", [(RADIAL, 6, 1), (SIGNED, 4, 2)], ids=["subspace", "axis"])
def test_the_reduced_route(shapes, count, seed, method, which):
    cases, signed = draw_cases(count, shapes, np.random.default_rng(seed))[which], shapes is SIGNED
    errors = []
    for case in cases:
        backward, ahead = both_modes(case, signed, method)
        value = lambda p: value_of(reduced_equation(p, case.profile, case.dim, case.dim_h, signed), p[-1], method)  # noqa: E731, B023
        differences = fourth_order_differences(value, case.point, 2e-3)
        errors.append([relative(backward, differences), relative(ahead, differences)])
    report(f"{method}, {'axis' if signed else 'subspace'}", np.array(errors), NAMES)
    assert np.max(errors) < 1e-5


def report(title, errors, names):
    worst = ", ".join(f"{name} {error:.1e}" for name, error in zip(names, errors.max(axis=(0, 1)), strict=True))
    print(f"{title}: worst relative difference in {errors.shape[0]} problems: {worst}")


WIDTH, STEPS = 8, 30
FLOW_NAMES, DESCENT_NAMES = ("target scale", "cloud", "time"), ("target scale", "cloud", "learning rate")


class Network(NamedTuple):
    """A random cloud with a direction in which it is moved, a profile, and the parameters (scale, distance, last)."""

    cloud: mf.Particles
    direction: mf.Particles
    profile: Array
    point: Array


def draw_networks(count, dim, last, generator):
    def cloud():
        return mf.Particles(
            jnp.asarray(generator.standard_normal(WIDTH)), jnp.asarray(generator.standard_normal((WIDTH, dim)))
        )

    def one():
        point = [generator.uniform(0.6, 1.6), generator.uniform(-0.2, 0.2), generator.uniform(*last)]
        return Network(cloud(), cloud(), jnp.asarray(generator.uniform(0.3, 1.0, 3)), jnp.asarray(point))

    return [one() for _ in range(count)]


def particle_risk(point, network, kind, descent, derivative):
    """The last risk as a function of (target scale, distance moved along the direction, time or learning rate)."""
    scale, distance, last = point
    target = mf.SubspaceNorm(2, scale) if kind == "norm" else mf.SingleIndex(Profile(scale, network.profile))
    problem = mf.Problem(mf.Gaussian(network.cloud.dim), target)
    cloud = jax.tree.map(lambda z, move: z + distance * move, network.cloud, network.direction)
    if descent:
        return mf.descend(problem, cloud, STEPS, learning_rate=last, record_every=STEPS).risk[-1]
    ts = jnp.stack([jnp.zeros_like(last), 0.4 * last, last])
    return mf.solve_particles(problem, cloud, ts, derivative=derivative, rtol=1e-10, atol=1e-12).risk[-1]


@eqx.filter_jit
def particle_value(point, network, kind, descent):
    return particle_risk(point, network, kind, descent, "reverse")


@eqx.filter_jit
def particle_derivatives(point, network, kind, descent):
    """The gradient in reverse mode and in forward mode."""
    backward = jax.grad(particle_risk)(point, network, kind, descent, "reverse")
    return backward, jax.jacfwd(lambda p: particle_risk(p, network, kind, descent, "forward"))(point)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["norm", "profile"])
@pytest.mark.parametrize("descent, count, last", [(False, 3, (0.5, 2.0)), (True, 2, (0.02, 0.08))], ids=["flow", "descent"])
@FIRST_AND_OTHERS
def test_the_particle_route(descent, count, last, kind, which):
    networks = draw_networks(count, 4, last, np.random.default_rng(3 + 2 * descent + (kind == "norm")))[which]
    errors = []
    for network in networks:
        value = lambda p: particle_value(p, network, kind, descent)  # noqa: E731, B023
        step = 1e-3 * np.minimum(1.0, network.point[-1])  # a small part of a learning rate
        differences = fourth_order_differences(value, network.point, float(step))
        errors.append(
            [relative(found, differences) for found in particle_derivatives(network.point, network, kind, descent)]
        )
    names = DESCENT_NAMES if descent else FLOW_NAMES
    report(f"{'descent' if descent else 'flow'}, {kind}", np.array(errors), names)
    assert np.max(errors) < 1e-5
