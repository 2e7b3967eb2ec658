"""How good the detectors are as they are served, in one report, beside OpenCV's YuNet."""
