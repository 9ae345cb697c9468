"""Tuning: a search for better settings on validation images, which ends with a comparison.

`tune.py` makes it, `space.py` says what is searched, `trials.py` tries, and `records.py` declares the results;
`folder.py` is where a study lies. Neither of the last two needs torch or Optuna.
"""
