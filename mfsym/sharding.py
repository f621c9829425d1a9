"""Work over several devices: the neurons of a cloud, of which every device holds its share, or runs of which it makes some.

Everything else is on all of them.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from .errors import Words, argument_error, check_instance, check_is, is_traced
from .neurons import check_neurons
from .types import Checked, Cloud

_MESH = 'Pass jax.make_mesh((8,), ("neurons",), axis_types=(jax.sharding.AxisType.Auto,)), or nothing for {}.'


def shard(cloud: Cloud, mesh: Checked[Mesh | None] = None, axis: str = "neurons") -> Cloud:
    """A cloud laid out over the devices of a mesh, an equal share of its m neurons on each; solvers keep the layout.

    Arguments: `cloud`, any pytree of arrays with the same first axis m; `mesh` whose axis named `axis` the neurons are
    spread along, by default all devices of all processes in one row. With several processes each of them passes the
    same cloud, and each keeps the share of its own devices. Inside jit the cloud is made where it is to lie:
    `jax.jit(lambda key: mf.shard(mf.sphere_cloud(problem, width=m, key=key, signs="random")))(key)`; with balanced
    signs every device holds the directions of both halves for a moment.
    Returns a pytree like the cloud. Raises ArgumentError if the neurons cannot be shared out evenly, as JAX needs, or
    the mesh does not fit.
    """
    width = check_neurons(cloud)
    check_is("axis", axis, str, "the name of an axis", "Leave it out for an axis named neurons.")
    if mesh is None:
        mesh = jax.make_mesh((jax.device_count(),), (axis,), axis_types=(AxisType.Auto,))
    count = _check_mesh(mesh, axis)
    if width % count:
        expected = f"of a width that can be shared out evenly to {count} devices"
        remedy = f"Take {count * (width // count + 1)} neurons, or another multiple of {count}; it is not padded for you."
        raise argument_error("cloud", expected, Words(f"of width {width}"), remedy)
    sharding = NamedSharding(mesh, PartitionSpec(axis))
    return jax.tree.map(lambda leaf: _place(leaf, sharding), cloud)


def _check_mesh(mesh: Checked[Mesh], axis: str) -> int:
    """The number of devices along an axis of a mesh that leaves layouts to the compiler."""
    _check_auto(mesh, _MESH.format("all devices"))
    if axis not in mesh.axis_names:
        raise argument_error("axis", f"an axis of the mesh, {mesh.axis_names}", axis, "Name the axis of the neurons.")
    return mesh.shape[axis]


def _check_auto(mesh: Checked[Mesh], remedy: str) -> None:
    check_instance("mesh", mesh, Mesh, remedy)
    if any(kind != AxisType.Auto for kind in mesh.axis_types):
        # Explicit axes, the default of jax.make_mesh, refuse the sums over neurons
        kinds = Words(f"a mesh of types {', '.join(str(kind) for kind in mesh.axis_types)}")
        raise argument_error("mesh", "a mesh whose axes are all of type Auto", kinds, remedy)


def _place(leaf: Array | np.ndarray, sharding: NamedSharding) -> Array:
    if is_traced(leaf):
        return jax.lax.with_sharding_constraint(leaf, sharding)
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    values = np.asarray(leaf)  # of this process; device_put would compare it with the others' over the network
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def check_mesh_of_lanes(mesh: Checked[Mesh | None]) -> Mesh | None:
    """None, or a mesh over whose devices independent runs can be spread; some of them belong to this process."""
    if mesh is None:
        return None
    remedy = _MESH.format("the default device")
    _check_auto(mesh, remedy)
    if not mesh.local_devices:
        raise argument_error("mesh", "one with devices of every process that calls", mesh, remedy)
    return mesh


def map_lanes(function: Callable[..., PyTree], lanes: PyTree, shared: tuple, mesh: Mesh | None = None) -> PyTree:
    """`function(lane, *shared)` for every lane, the first axis of the arrays of `lanes`, put together again.

    Without a mesh it is one vmapped call. With a mesh every device has an equal share of the lanes and goes through its
    own loop, which waits for no other: nothing is communicated before the end, when what was found goes to every process.
    Where the devices do not divide the lanes, the last one is repeated. `function` belongs to a module, so that equal calls
    compile once.
    """
    if mesh is None:
        return _together(function, lanes, shared)
    count = jax.tree.leaves(lanes)[0].shape[0]
    lanes = pad_lanes(lanes, -(-count // mesh.size) * mesh.size)
    lanes = _placed(lanes, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    found = _spread(function, lanes, _placed(shared, NamedSharding(mesh, PartitionSpec())), mesh)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0)[:count] if eqx.is_array(leaf) else leaf, found)


def stack_lanes(lanes: Sequence[PyTree]) -> PyTree:
    """Trees of the same structure and shapes as one, with one more first axis.

    On the host, where the numbers are known: XLA would compile a stack of hundreds of arrays for as long as it solves them.
    """
    if any(is_traced(leaf) for leaf in jax.tree.leaves(lanes)):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack([np.asarray(leaf) for leaf in leaves])), *lanes)


def split_lanes(batch: PyTree, count: int) -> list[PyTree]:
    """The lanes of a tree, whose arrays have a first axis for them; on the host where the numbers are known."""
    arrays, others = eqx.partition(batch, eqx.is_array)
    if not any(is_traced(leaf) for leaf in jax.tree.leaves(arrays)):
        arrays = jax.tree.map(np.asarray, arrays)
    return [eqx.combine(jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), arrays), others) for i in range(count)]


def pad_lanes(lanes: PyTree, count: int) -> PyTree:
    """As many lanes as are asked for: the last one, which takes no more steps than it does, is repeated."""

    def pad(leaf: Array) -> Array:
        last = jnp.broadcast_to(leaf[-1:], (count - leaf.shape[0], *leaf.shape[1:]))
        return jnp.concatenate([leaf, last]) if len(last) else leaf

    return jax.tree.map(pad, lanes)


def _placed(tree: PyTree, sharding: NamedSharding) -> PyTree:
    return jax.tree.map(lambda leaf: _place(leaf, sharding) if eqx.is_array(leaf) else leaf, tree)


@eqx.filter_jit
def _together(function: Callable[..., PyTree], lanes: PyTree, shared: tuple) -> PyTree:
    return _vmapped(function, lanes, shared)


def _vmapped(function: Callable[..., PyTree], lanes: PyTree, shared: tuple) -> PyTree:
    """All lanes in one loop; a single one as if it were alone."""
    if jax.tree.leaves(lanes)[0].shape[0] > 1:
        return eqx.filter_vmap(lambda lane: function(lane, *shared))(lanes)
    found = function(jax.tree.map(lambda leaf: leaf[0], lanes), *shared)
    return jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, found)


class _Fixed(eqx.Module):
    """What a function returns besides arrays: a tree without leaves."""

    value: PyTree = eqx.field(static=True)


@eqx.filter_jit
def _spread(function: Callable[..., PyTree], lanes: PyTree, shared: tuple, mesh: Mesh) -> PyTree:
    arrays, others = eqx.partition((lanes, shared), eqx.is_array)

    def local(*arrays: PyTree) -> tuple[PyTree, _Fixed]:
        lanes, shared = eqx.combine(arrays, others)
        found, rest = eqx.partition(_vmapped(function, lanes, shared), eqx.is_array)
        return found, _Fixed(rest)

    spec, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
    # Loops of diffrax do not say over which axes their values vary.
    spread = jax.shard_map(local, mesh=mesh, in_specs=(spec, everywhere), out_specs=spec, check_vma=False)
    found, rest = spread(*arrays)
    found = jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, everywhere)), found)
    return eqx.combine(found, rest.value)
