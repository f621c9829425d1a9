"""Mean-field Langevin dynamics on the sphere: its equilibrium, with a certificate, and how fast it is reached."""
