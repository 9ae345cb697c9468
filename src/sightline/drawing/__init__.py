"""Pictures as PNG files: curves, matrices, diagrams, sheets of images, each module a kind of them, in one style."""
