"""How good a detector is: its detections against annotated photos."""
