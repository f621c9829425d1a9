"""Clouds of neurons: any pytree with a leading particle axis, and the standard one, `Particles`."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import argument_error, check_instance, float_array
from .groups import Action, FiniteGroup, Moves, Symmetry
from .types import Checked, Cloud, RealArrayLike

NEURONS = "A cloud is a pytree of floating arrays with one first axis, that of the neurons."


class AbstractRidgeCloud(eqx.Module):
    """A finite cloud of neurons a σ(b·x + β): outer weights a [m], inner weights b [m, d], biases [m] or None without."""

    a: eqx.AbstractVar[Float[Array, " m"]]
    b: eqx.AbstractVar[Float[Array, "m d"]]
    bias: eqx.AbstractVar[Float[Array, " m"] | None]

    @property
    def width(self) -> int:
        """Number of neurons m."""
        return self.a.shape[0]

    @property
    def dim(self) -> int:
        """Dimension d of the inputs."""
        return self.b.shape[1]

    @property
    def dtype(self):
        """Floating type of the cloud; solvers keep it."""
        return self.a.dtype


class Particles(AbstractRidgeCloud):
    """A finite cloud of neurons z_j = (a_j, b_j): outer weights a [m] and inner weights b [m, d].

    It stands for the empirical law (1/m) Σ_j δ_{z_j}, whose network is f(x) = (1/m) Σ_j a_j σ(b_j·x).
    """

    a: Float[Array, " m"]
    b: Float[Array, "m d"]
    bias: ClassVar[None] = None

    def __init__(self, a: RealArrayLike, b: RealArrayLike):
        a, b = float_array("a", a, 1), float_array("b", b, 2)
        if a.shape[0] != b.shape[0] or a.shape[0] == 0 or b.shape[1] == 0:
            raise argument_error(
                "b", f"an array [m, d] with m = {a.shape[0]} ≥ 1 rows and d ≥ 1", b.shape, "One row per neuron."
            )
        if a.dtype != b.dtype:
            raise argument_error("b", f"of the dtype of a, {a.dtype}", str(b.dtype), "Cast one to the other.")
        self.a, self.b = a, b


class BiasedParticles(AbstractRidgeCloud):
    """A finite cloud of neurons z_j = (a_j, b_j, β_j): outer weights a [m], inner weights b [m, d] and biases [m].

    Its network is f(x) = (1/m) Σ_j a_j σ(b_j·x + β_j).
    """

    a: Float[Array, " m"]
    b: Float[Array, "m d"]
    bias: Float[Array, " m"]

    def __init__(self, a: RealArrayLike, b: RealArrayLike, bias: RealArrayLike):
        neurons = Particles(a, b)
        self.a, self.b, self.bias = neurons.a, neurons.b, float_array("bias", bias, 1)
        if self.bias.shape != self.a.shape or self.bias.dtype != self.a.dtype:
            expected = f"an array [{self.width}] of type {self.dtype}, like a"
            raise argument_error("bias", expected, self.bias, "One bias per neuron.")


def neuron_of(a: Any, b: Any, bias: Any = None) -> AbstractRidgeCloud:
    """The pytree of `Particles`, or of `BiasedParticles`, with anything in the places of their arrays."""
    number, vector = np.zeros(1), np.zeros((1, 1))
    if bias is None:
        return jax.tree.unflatten(jax.tree.structure(Particles(number, vector)), (a, b))
    return jax.tree.unflatten(jax.tree.structure(BiasedParticles(number, vector, number)), (a, b, bias))


def dim_of(cloud: Cloud) -> int | None:
    """The dimension d of the inputs of `Particles` and `BiasedParticles`; None for clouds that need not have one."""
    return cloud.dim if isinstance(cloud, AbstractRidgeCloud) else None


def array_leaves(cloud: Cloud) -> list[Array | np.ndarray]:
    """The leaves of any pytree of arrays; raises ArgumentError for anything else."""
    leaves = jax.tree.leaves(cloud)
    if not leaves or not all(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves):
        raise argument_error("cloud", "a pytree of arrays", cloud, NEURONS)
    return leaves


def check_neurons(cloud: Cloud) -> int:
    """The number of neurons of any pytree of arrays with the same first axis; raises ArgumentError for anything else."""
    leaves = array_leaves(cloud)
    widths = {leaf.shape[:1] for leaf in leaves}
    if len(widths) != 1 or widths & {(), (0,)}:
        raise argument_error("cloud", "a pytree of arrays with the same first axis", sorted(widths), NEURONS)
    return leaves[0].shape[0]


def images_of(cloud: Cloud, action: Action, elements: Float[Array, "q k k"]) -> Cloud:
    """The images of every neuron under some elements, side by side: q·m neurons, each where its neuron is on the devices."""
    return moved_cloud(cloud, action.moves(elements))


def moved_cloud(cloud: Cloud, moves: Moves) -> Cloud:
    """The same by what the elements do."""
    return _side_by_side(jax.vmap(lambda move: move(cloud), out_axes=1)(moves))


def _side_by_side(images: Cloud) -> Cloud:
    """Images [m, q, …] of m neurons as a cloud of m·q."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), images)


def neuron_masses(cloud: Particles) -> Float[Array, " m"]:
    """Mass c_j = |a_j| ‖b_j‖ of every neuron of a 1-homogeneous unit, [m]."""
    return jnp.abs(cloud.a) * jnp.linalg.norm(cloud.b, axis=1)


def moments_of(cloud: Particles) -> Float[Array, "n n"]:
    """Second moments M = (1/m) Σ_j c_j c_jᵀ of the neurons c_j = (a_j, b_j), [1+d, 1+d].

    For a cloud that is closed under (a, b) ↦ (−a, −b) they are a start of the moment equation of an odd target:
    `mf.solve_reduced(reduced, ts, initial=mf.moments_of(cloud))`.
    """
    check_instance("cloud", cloud, Particles, "Build one with mf.Particles(a, b).")
    neurons = jnp.concatenate([cloud.a[:, None], cloud.b], axis=1)
    return jnp.matmul(neurons.T, neurons, precision=jax.lax.Precision.HIGHEST) / cloud.width


def act(symmetry: Symmetry, cloud: Particles) -> Particles:
    """The image of a cloud under S: (a, b) ↦ (s a, T b)."""
    check_instance("cloud", cloud, Particles, "Build one with mf.Particles(a, b).")
    if symmetry.dim != cloud.dim:
        raise argument_error("symmetry", f"of dimension {cloud.dim}, the cloud's", symmetry.dim, "Match them.")
    sign, matrix = symmetry.sign.astype(cloud.dtype), symmetry.matrix.astype(cloud.dtype)
    image = jnp.matmul(cloud.b, matrix.T, precision=jax.lax.Precision.HIGHEST)
    return Particles(sign * cloud.a, image)


def orbit_cloud(cloud: Checked[Cloud], group: Checked[FiniteGroup | Action]) -> Cloud:
    """The union of the images of a cloud under every element of a finite group: |G|·m neurons, images side by side.

    `group` is a `FiniteGroup` of symmetries for Particles, or the `Action` of a finite group for neurons of any shape.
    Such a cloud is invariant under the group, and the flow keeps it so at every finite width. The first image of a neuron is
    itself, `orbit[::|G|]` the cloud; of a cloud that is spread over devices every image stays on the device of its neuron.
    (Hajjar & Chizat 2022, general class of symmetries; Maass & Fontbona 2024.)
    """
    check_instance("group", group, (FiniteGroup, Action), "Build it with mf.generate(...), or mf.action(...).")
    if isinstance(group, Action):
        check_neurons(cloud)
        return images_of(cloud, group, group.group.elements)
    check_instance("cloud", cloud, Particles, "Build one with mf.Particles(a, b).")
    if group.dim != cloud.dim:
        raise argument_error("group", f"of dimension {cloud.dim}, the cloud's", group.dim, "Match them.")
    images = jax.vmap(lambda s, T: act(Symmetry(s, T), cloud), out_axes=1)(group.signs, group.matrices)
    return _side_by_side(images)


def fixed_part(cloud: Checked[Cloud], action: Checked[Action]) -> Cloud:
    """P z for every neuron, the orthogonal projection on the neurons E^G that every element of the group leaves as they are.

    The law of the result is strongly invariant: its network is that of an equivariant architecture. P is the mean of M(g)
    over the group, computed from a basis of E^G. Takes one neuron as well. (Maass & Fontbona 2024.)
    """
    return _checked_action(action).project(cloud)


def fixed_basis(action: Checked[Action]) -> Cloud:
    """An orthonormal basis of the neurons E^G that a group leaves as they are, as a cloud of `action.dim_fixed` neurons."""
    return _checked_action(action).combination(jnp.eye(action.dim_fixed))


def _checked_action(action: Action) -> Action:
    return check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
