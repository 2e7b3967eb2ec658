"""Measurements of the served detectors."""
