"""Training: reader, training step, learning rate schedule, EMA, checkpoints, logs, and the loop around them."""
