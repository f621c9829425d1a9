"""Noise of one size everywhere: kicks of finite steps, and the Brownian term of a flow."""

import abc

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

# The finest steps of a flow with noise, relative to the run: below, a virtual path is smooth and its law another.
FINEST = 2.0**-20


class AbstractNoise(eqx.Module):
    """Noise S ξ with ξ standard normal in every number of a state, and S the same for all states; drawn from `key`."""

    key: eqx.AbstractVar[PRNGKeyArray]

    @abc.abstractmethod
    def spread(self, normal: PyTree, time: Float[Array, ""]) -> PyTree:
        """√time S ξ of given numbers ξ, a tree like the state."""

    def kick(self, index: Int[Array, ""], step: Float[Array, ""], state: PyTree) -> PyTree:
        """That of step k = `index` of length `step`, drawn from the key folded with k."""
        leaves, structure = jax.tree.flatten(state)
        keys = jax.random.split(jax.random.fold_in(self.key, index), len(leaves))
        normal = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        return self.spread(jax.tree.unflatten(structure, normal), step)


class BrownianTerm(diffrax.AbstractTerm):
    """S dW of a flow dz = v dt + S dW, W a Brownian motion with its space-time Lévy area.

    What diffrax calls the vector field is 1, so that the change of S along a step, which its methods subtract, is 0.
    """

    noise: AbstractNoise
    path: diffrax.VirtualBrownianTree

    def vf(self, t, y, args):
        """1."""
        return jnp.ones((), jnp.result_type(*jax.tree.leaves(y)))

    def contr(self, t0, t1, **kwargs):
        """W(t1) − W(t0), with its area where that is asked for."""
        return self.path.evaluate(t0, t1, **kwargs)

    def prod(self, vf, control):
        """S W."""
        return jax.tree.map(lambda part: vf * part, self.noise.spread(control, jnp.ones_like(vf)))


def brownian_term(noise: AbstractNoise, end: Float[Array, ""], state: PyTree) -> BrownianTerm:
    """The term of a run from 0 to `end`: its path depends on the key and the end alone, whatever the steps.

    (Jelinčič, Foster & Kidger 2024.)
    """
    shape = jax.eval_shape(lambda state: state, state)
    zero, area = jnp.zeros_like(end), diffrax.SpaceTimeLevyArea
    return BrownianTerm(noise, diffrax.VirtualBrownianTree(zero, end, FINEST * end, shape, noise.key, area))
