"""The noise of a finite start: what m independent neurons put on the labels of a block, as a sum of independent numbers.

In every block but (0, 0) the noise ζ of the labels is white, E ζ_i ζ_j = μ_i δ_ij for neurons that are drawn one by one.
With functions q_j that are orthonormal for the start on the angle, ζ_i = Σ_j ξ_j √2 μ_i q_j(θ_i) for either sign with
independent ξ_j ~ N(0, 1), and a few smooth q_j say all that the network hears. In block (0, 0) numbers of neurons are
known, and the constant q_0 falls out. (Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import BlockFeatures, Powers, orthonormal_functions
from .paths import Course

SIGNS = ("balanced", "paired", "random")
_FUNCTIONS = 20  # of the angle, for either sign


class Sources(eqx.Module):
    """How neurons of the two signs are drawn, and where their labels start: `root` is that of the probability [N].

    Signs "each" are those of neurons that are there: every function counts for either sign by itself, the constant as well.
    """

    reduction: AngleReduction
    tables: Powers
    root: Float[Array, " N"]
    signs: str = eqx.field(static=True)

    @staticmethod
    def of(reduction: AngleReduction, course: Course, degree: int, signs: str) -> "Sources":
        """Of the labels of a run."""
        theta, share = course.paths.theta[0, 0, : reduction.nodes], course.labels.share[: reduction.nodes]
        return Sources(reduction, Powers.of(theta, degree), jnp.sqrt(2 * share), signs)

    def noise(self, block: BlockFeatures) -> Float[Array, "L S"]:
        """ζ of the labels of both signs, [L, S]: one column for every independent number."""
        weighted = self._orthonormal(block)[0] * (self.root * 0.5**0.5)[:, None]  # √2 μ q
        table = jnp.where(jnp.all(block.powers == 0), *self._mixing(weighted.shape[1]))
        mixed = jnp.einsum("ij,jes->eijs", weighted, table.astype(weighted.dtype), precision="highest")
        return mixed.reshape(2 * len(self.root), -1)

    def numbers(self, block: BlockFeatures, tables: Powers) -> Float[Array, "m j"]:
        """q_j at the angles of other tables."""
        triangle = self._orthonormal(block)[1]
        plain = orthonormal_functions(self.reduction, block.powers, tables, jnp.ones_like(tables.sine[0]), len(triangle))[0]
        return jax.scipy.linalg.solve_triangular(triangle, plain, trans=1).T

    def mean(self, block: BlockFeatures) -> Float[Array, " j"]:
        """Of the q_j over the start."""
        return jnp.sum(self._orthonormal(block)[0] * self.root[:, None], axis=0)

    def _orthonormal(self, block: BlockFeatures) -> tuple[Float[Array, "N j"], Float[Array, "j j"]]:
        """Functions times the root of the law, orthonormal at the labels themselves, for whatever law they have; and the
        triangle that makes p_j of them."""
        count = min(_FUNCTIONS, len(self.root) // 2)
        functions = orthonormal_functions(self.reduction, block.powers, self.tables, self.root, count)[0]
        return jnp.linalg.qr(functions.T)

    def _mixing(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """How the number ξ_{js} of a function q_j counts for both signs, [count, 2, sources]: in block (0, 0), elsewhere."""
        both = np.ones((2, 1)) if self.signs == "paired" else np.eye(2)
        joint = np.array([[1.0, 0.0], [-1.0, 0.0]]) / np.sqrt(2)  # numbers of neurons of both signs sum to m
        constant = {"paired": 0 * both, "balanced": 0 * both, "each": both, "random": joint}
        rest = np.broadcast_to(both, (count, *both.shape))
        return np.concatenate([constant[self.signs][None], rest[1:]]), rest
