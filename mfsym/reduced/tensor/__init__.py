"""The grid of several angles: finite volumes on a tensor product, its limiter and its poles."""
