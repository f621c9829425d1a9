"""Route 1: a cloud of neurons moved by the Wasserstein gradient flow in the full space."""
