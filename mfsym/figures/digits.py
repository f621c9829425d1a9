"""Images without a download: the digits that scikit-learn ships, 8 × 8, 1797 of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import ArgumentError

_HINT = 'This experiment needs the digits of scikit-learn. Install them with: pip install "mfsym[images]"'


class Images(NamedTuple):
    """Inputs [n, 64] of mean 0 and mean square 1 over the training set, and labels [n, 10], one-hot."""

    x: Float[Array, "n 64"]
    y: Float[Array, "n 10"]
    x_test: Float[Array, "t 64"]
    y_test: Float[Array, "t 10"]


def digits(count: int, key: PRNGKeyArray) -> Images:
    """`count` digits to train on, drawn by the key, and all others to test with."""
    try:
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ArgumentError(_HINT) from error
    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.asarray(jax.random.permutation(key, len(labels)))
    pixels, labels = pixels[order], labels[order]
    mean, size = pixels[:count].mean(), pixels[:count].std()
    x, y = jnp.asarray((pixels - mean) / size, float), jax.nn.one_hot(labels, 10, dtype=float)
    return Images(x[:count], y[:count], x[count:], y[count:])
