"""Paddle detectors: training, evaluation, weights, export."""

import os
import warnings

# Paddle compiles nothing here, yet warns on import that it could do so faster.
warnings.filterwarnings("ignore", message="No ccache found")
# What batch normalisation is expected to do, said on every training.
warnings.filterwarnings("ignore", message="When training, we now always track")
# Notes of Paddle's C++ code to its own developers; errors are still shown.
os.environ.setdefault("GLOG_minloglevel", "2")
