"""Evaluation on an image set: stored probabilities, metrics, tests, calibration and Grad-CAM."""
