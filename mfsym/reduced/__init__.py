"""Route 2: the low-dimensional equation that symmetry leaves. No Monte Carlo, and nothing of the particle route."""
