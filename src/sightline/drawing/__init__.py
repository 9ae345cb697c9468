"""Plots as PNG files in one style: curves, matrices, diagrams and sheets of images, one module for each kind."""
