"""Clouds over several devices: every device holds its share of the neurons, everything else is on all of them."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from .errors import Words, argument_error, check_instance, is_traced
from .neurons import check_neurons

_MESH = 'Pass jax.make_mesh((8,), ("neurons",), axis_types=(jax.sharding.AxisType.Auto,)), or nothing for all devices.'


def shard(cloud: PyTree, mesh: Any = None, axis: str = "neurons") -> PyTree:
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
    if not isinstance(axis, str):
        raise argument_error("axis", "the name of an axis", axis, "Leave it out for an axis named neurons.")
    if mesh is None:
        mesh = jax.make_mesh((jax.device_count(),), (axis,), axis_types=(AxisType.Auto,))
    count = _check_mesh(mesh, axis)
    if width % count:
        expected = f"of a width that can be shared out evenly to {count} devices"
        remedy = f"Take {count * (width // count + 1)} neurons, or another multiple of {count}; it is not padded for you."
        raise argument_error("cloud", expected, Words(f"of width {width}"), remedy)
    sharding = NamedSharding(mesh, PartitionSpec(axis))
    return jax.tree.map(lambda leaf: _place(leaf, sharding), cloud)


def _check_mesh(mesh: Any, axis: str) -> int:
    """The number of devices along an axis of a mesh that leaves layouts to the compiler."""
    check_instance("mesh", mesh, Mesh, _MESH)
    if axis not in mesh.axis_names:
        raise argument_error("axis", f"an axis of the mesh, {mesh.axis_names}", axis, "Name the axis of the neurons.")
    if any(kind != AxisType.Auto for kind in mesh.axis_types):
        # Explicit axes, the default of jax.make_mesh, refuse the sums over neurons
        kinds = Words(f"a mesh of types {', '.join(str(kind) for kind in mesh.axis_types)}")
        raise argument_error("mesh", "a mesh whose axes are all of type Auto", kinds, _MESH)
    return mesh.shape[axis]


def _place(leaf: Any, sharding: NamedSharding) -> Array:
    if is_traced(leaf):
        return jax.lax.with_sharding_constraint(leaf, sharding)
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    values = np.asarray(leaf)  # of this process; device_put would compare it with the others' over the network
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
