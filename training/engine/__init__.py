"""Training: reader, step, schedule, averaged weights, checkpoints, and the loop around them."""
