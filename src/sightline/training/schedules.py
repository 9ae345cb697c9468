"""The learning rate of every step, as a pure function of the step."""

from __future__ import annotations

import math

from sightline.settings import ScheduleSettings


def learning_rate(
    settings: ScheduleSettings, base: float, step: int, *, total_steps: int, steps_per_epoch: int, start_step: int = 0
) -> float:
    """The rate of step `step`, counted from 0, in a run of `total_steps`.

    A run that was extended by `total_steps - start_step` steps runs cosine and one_cycle again over that added part;
    constant and step go on as if the run had always been so long.
    """
    if settings.schedule in ("cosine", "one_cycle"):
        step, total_steps = step - start_step, total_steps - start_step
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * (step + 1) / math.ceil(warmup)
    match settings.schedule:
        case "constant":
            return base
        case "step":
            factor = 1.0
            for epoch, at in zip(settings.step_epochs, settings.step_factors, strict=True):
                if step >= epoch * steps_per_epoch:
                    factor = at
            return base * factor
        case "cosine":
            done = (step - warmup) / max(1, total_steps - warmup)
            return base * _between(1.0, settings.final_factor, (1 - math.cos(math.pi * done)) / 2)
        case "one_cycle":
            peak = settings.peak_fraction * total_steps
            if step < peak:
                return base * _between(settings.start_factor, 1.0, step / peak)
            done = (step - peak) / max(1, total_steps - peak)
            if settings.down == "cosine":
                done = (1 - math.cos(math.pi * done)) / 2
            return base * _between(1.0, settings.final_factor, done)


def _between(start: float, end: float, part: float) -> float:
    return start + (end - start) * part
