"""How a problem is learnt: the mathematics of the dynamics."""

import equinox as eqx


class Training(eqx.Module):
    """The Wasserstein gradient flow of the population risk, z_j' = −m ∇_{z_j} F, with both layers at rate 1.

    Its clock is the flow time t; gradient descent with learning rate m·η on all weights is its explicit Euler
    scheme with step η, at t = η·step.
    """
