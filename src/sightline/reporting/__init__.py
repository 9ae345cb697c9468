"""Reports, slides and model cards for a run, a comparison, a cross-validation or a study, from its files alone.

`facts.py` reads the files as typed records, `sections/` makes blocks of them in the words of `words.py`, `pictures.py`
draws, and `html.py`, `markdown.py` and `slides.py` set the same blocks. Nothing is computed here that a run's files do
not hold, and every number's cell says which file and which key it comes from.
"""
