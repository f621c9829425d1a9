"""Odd targets: the network is linear, and its second moments obey an ODE."""
