"""Cross-validation: K runs, each tested on the fold of the pictures that it never saw, and what all answers come to.

`cross_validate.py` makes them, `figures.py` computes the results, which `records.py` declares; `folder.py` is where
they lie. None of these three needs torch.
"""
