"""Paddle detectors, their weights and their export."""
