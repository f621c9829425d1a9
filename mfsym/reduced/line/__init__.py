"""One angle: its features, coefficients, closed averages, and the fast equations on an interval."""
