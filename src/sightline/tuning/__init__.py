"""Tuning: a search for better settings on validation images, and an honest comparison of what it found at the end.

`tune.py` makes it, `space.py` says what is searched, `trials.py` tries; `folder.py` is where a study lies, and needs
neither torch nor Optuna to be read.
"""
