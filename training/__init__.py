"""Paddle detectors, their weights and their export."""

import warnings

# Paddle compiles nothing here, yet warns on import that it could do so faster.
warnings.filterwarnings("ignore", message="No ccache found")
