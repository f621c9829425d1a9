"""The published experiment on two inputs and two outputs: units σ(zx), and three teachers of them."""

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])
UNIT = mf.MatrixUnit(jax.nn.sigmoid)
_ROWS = 0.5 * np.array(
    [(-1, 0, 0, 0.5), (0.5, 1, 0, 1), (-0.5, 0.3, 1, 0), (0, -1, -0.5, 1), (0.7, -0.7, 0.5, 0.7)]
).reshape(5, 2, 2)
_FIXED = 0.5 * np.array([(1, 0), (0.5, 1), (-0.5, 0.3), (0, -1), (0.7, 0.7)]) / np.sqrt(2)


def fixed_matrices(coordinates):
    """Matrices [[a, b], [b, a]] with these coordinates [n, 2] in the orthonormal basis I/√2, P/√2, times √2."""
    return coordinates[:, :1, None] * np.eye(2) + coordinates[:, 1:, None] * SWAP


def turned(z):
    """The images P z P of matrices [n, 2, 2]: rows and columns are exchanged."""
    return z[:, ::-1, ::-1]


def matrices(count):
    """Matrices [n, 2, 2] in general position."""
    return jnp.asarray(0.4 * np.sin(0.9 * np.arange(4 * count) + 0.2 * np.arange(4 * count) ** 2).reshape(count, 2, 2))


TEACHERS = {
    "arbitrary": mf.Teacher(_ROWS, UNIT),
    "WI": mf.Teacher(np.concatenate([_ROWS, turned(_ROWS)]), UNIT),
    "SI": mf.Teacher(fixed_matrices(_FIXED), UNIT),
}
