"""Comparisons: several seeds of several sides on the same images, and a verdict on every pair of them.

`compare.py` makes them, of `sides.py` by way of `running.py`, and `figures.py` computes the results, which `records.py`
declares; `folder.py` is where they lie. Neither of these two needs torch.
"""
