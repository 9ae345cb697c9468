"""Cross-validation: K runs, each tested on the fold that it never saw, and the results over all pictures.

`cross_validate.py` makes them, `figures.py` computes the results, which `records.py` declares; `folder.py` is where
they lie. None of these three needs torch.
"""
