"""Which symmetries hold: their action, how far a network is from them, and what a bare function has."""
