"""What is learnt and how: inputs, target, unit, loss, start and training. No numerics in here."""
