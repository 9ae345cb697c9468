"""Comparisons: several seeds of several sides on the same images, and a verdict on every pair of them.

`compare.py` makes them, of `sides.py` by way of `running.py`, and `figures.py` has the results; `folder.py` is where
they lie, and needs no torch to be read.
"""
