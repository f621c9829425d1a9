"""Inputs that people tried on clouds, and what is right for them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from particle_problems import random_cloud

import mfsym as mf

# ---- second derivatives of the exact risk ----


def special_cloud():
    """Six neurons of R³: two with one direction, two opposite ones, some at right angles."""
    b = [[1.0, 0, 0], [0, 2, 0], [-1, 0, 0], [1, 0, 0], [0.3, 0.4, 0.1], [0.6, 0.8, 0.2]]
    return mf.Particles(jnp.asarray([1.0, -0.5, 2.0, 0.7, 0.3, 0.4]), jnp.asarray(b))


def test_hessian_of_the_exact_risk():
    """That of the value, forward over reverse, is the derivative of the hand-written velocity, −1/m of it."""
    risk = mf.risk_of(mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.5, 0.0])))
    _, cloud = ravel_pytree(special_cloud())
    hessian = jax.jit(jax.hessian(lambda z: risk.value(cloud(z))))
    jacobian = jax.jit(jax.jacfwd(lambda z: ravel_pytree(risk.velocity(cloud(z)))[0]))
    for start in (special_cloud(), random_cloud(6, dim=3, seed=3)):
        z = ravel_pytree(start)[0]
        np.testing.assert_allclose(hessian(z), -jacobian(z) / 6, rtol=0, atol=1e-12)


def test_hessian_of_one_neuron():
    """F = ¼a²‖b‖² − ½a b·w + ½ for f* = w·x."""
    risk = mf.risk_of(mf.Problem(mf.Gaussian(2), mf.LinearTarget([1.0, 0.0])))
    expected = 0.5 * np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = jax.hessian(lambda z: risk.value(mf.Particles(z[:1], z[None, 1:])))(jnp.asarray([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
