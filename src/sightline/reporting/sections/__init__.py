"""The parts of a report, one file for each, and `reports.py`, which puts them together.

Each gives a Section: its blocks, and its slides, the first of which is never left out.
"""
