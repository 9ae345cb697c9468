"""A classifier over an image set: stored probabilities, metrics, tests, calibration and Grad-CAM."""
