"""Training: from settings to a run folder with a tested model; fitted heads, and the forecast based on them.

`train` begins a run, `resume` goes on with one; `prepare` makes what a run begins with, `trainer` has its epochs and
steps, `step` one step.
"""
