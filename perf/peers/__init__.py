"""What the served detectors are compared with, on the same machine, weights, images and cores."""
