"""The trials of a study: each trains once and is judged on validation images; the test images are not even there."""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sightline.errors import Interrupted, NumericError, ResourceError, SightlineError, UsageError
from sightline.recipes import resolve
from sightline.settings import Settings, flat_fields
from sightline.settings.merge import DISCRIMINATORS, NAMES_IN_SECTION
from sightline.training.reporter import Reporter, Silence
from sightline.training.train import train_settings
from sightline.tuning.folder import StudyFolder, StudyPlan, trial_name, without_password

if TYPE_CHECKING:
    from optuna import Study, Trial

    from sightline.comparison.running import ImagesOnce

WHOLE_TRIALS_BEFORE_PRUNING = 5
BROKEN_OFF, FOLDER, SECONDS, WHY = "broken off", "folder", "seconds", "why"


class _Pruned(Exception):  # noqa: N818
    """The pruner has given a trial up."""


def open_study(folder: StudyFolder, plan: StudyPlan, *, seed: int) -> Study:
    """Open a study's trials, or begin them. Raises ResourceError where the storage cannot be used.

    The sampler is TPE (Bergstra et al. 2011); it repeats its choices with the same `seed` as long as one process
    searches and nothing is broken off. The pruner gives a trial up whose best epoch so far is below the median of the
    others' at that epoch.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(WHOLE_TRIALS_BEFORE_PRUNING) if plan.prunes else optuna.pruners.NopPruner()
    try:
        return optuna.create_study(
            storage=folder.storage(plan),
            study_name=plan.study,
            # Machines that share a study must not all try the same.
            sampler=optuna.samplers.TPESampler(seed=seed if plan.storage is None else None),
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
    except Exception as error:  # SQLAlchemy's and each driver's own
        storage = folder.storage(plan)
        reason = _first_line(error).replace(storage, without_password(storage))
        raise ResourceError(without_password(storage), f"it cannot be used as storage ({reason})") from error


def settings_of(plan: StudyPlan, changes: Mapping[str, Any]) -> Settings:
    """Give the settings of a trial: the recipe and the flags, then what the trial chose."""
    return resolve(plan.data, plan.recipe, {**plan.flags, **changes}).replace(watch_test=False)


def changes_of(plan: StudyPlan, params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings, by flat name, of what a study keeps of a trial."""
    return {name: plan.space[name].value(stored) for name, stored in params.items() if name in plan.space}


def check_space(plan: StudyPlan) -> None:
    """Try the outermost values of every dimension. Raises UsageError, naming the setting, where one is refused."""
    for name, dimension in plan.space.items():
        for value in dimension.ends():
            try:
                settings_of(plan, {name: value})
            except UsageError as error:
                raise UsageError(f"search space, {name}", error.line()) from None


def search(
    study: Study,
    folder: StudyFolder,
    plan: StudyPlan,
    *,
    images: ImagesOnce,
    reporter: Reporter,
) -> None:
    """Make trials until the study has as many as planned, or this folder's have taken the seconds that are planned.

    A trial that is under way when the seconds end is finished. Raises Interrupted,
    ResourceError and DataError, after which the search can go on; a trial whose loss failed, or whose settings do not
    suit each other, counts as failed.
    """
    _take_up_broken_trials(study, folder)
    if not study.get_trials(deepcopy=False):
        _begin_where_we_are(study, plan)
    while not (has_all_trials(study, plan) or has_used_its_seconds(study, folder, plan)):
        trial = study.ask()
        trial.set_user_attr(FOLDER, place_of(folder))
        _try(study, trial, folder, plan, images, reporter)
        _tell(study, trial.number, plan, reporter)


def ended(study: Study) -> list[FrozenTrial]:
    """All trials that came to an end, on whatever machine; not those that were broken off, and asked for again."""
    broken = _broken_off(study)
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and trial.number not in broken]


def has_all_trials(study: Study, plan: StudyPlan) -> bool:
    """Whether the study has as many trials as it was to have."""
    return plan.trials is not None and len(ended(study)) >= plan.trials


def has_used_its_seconds(study: Study, folder: StudyFolder, plan: StudyPlan) -> bool:
    """Whether this folder's trials have taken as long as they might."""
    return plan.seconds is not None and seconds_of(study, folder) >= plan.seconds


def seconds_of(study: Study, folder: StudyFolder) -> float:
    """Add up the seconds of this folder's trials."""
    own = [trial for trial in ended(study) if trial.user_attrs.get(FOLDER) == place_of(folder)]
    return sum(trial.user_attrs.get(SECONDS, 0.0) for trial in own)


def _broken_off(study: Study) -> set[int]:
    """The trials that were stopped in the middle, on whatever machine: they were asked for again."""
    lists = (numbers for key, numbers in study.user_attrs.items() if key.startswith(BROKEN_OFF))
    return {number for numbers in lists for number in numbers}


def _take_up_broken_trials(study: Study, folder: StudyFolder) -> None:
    """Ask again for what this folder's killed process was trying, with the same values."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING and trial.user_attrs.get(FOLDER) == place_of(folder):
            _break_off(study, folder, trial.number, trial.params)


def _break_off(study: Study, folder: StudyFolder, number: int, params: Mapping[str, Any]) -> None:
    # One list a folder, so that machines that share a study do not overwrite each other's.
    key = f"{BROKEN_OFF}: {place_of(folder)}"
    study.set_user_attr(key, [*study.user_attrs.get(key, []), number])
    study.tell(number, state=TrialState.FAIL)
    folder.forget_trial(number)
    study.enqueue_trial(dict(params))


def place_of(folder: StudyFolder) -> str:
    """Tell this folder on this machine from all others that share the study."""
    return f"{platform.node()}:{folder.path.resolve()}"


def _begin_where_we_are(study: Study, plan: StudyPlan) -> None:
    """Let the first trial be the recipe itself, as far as the space holds it."""
    settings = settings_of(plan, {})
    known = {name: dimension.stored(value_of(settings, name)) for name, dimension in plan.space.items()}
    study.enqueue_trial({name: value for name, value in known.items() if value is not None})


def value_of(settings: Settings, name: str) -> Any:
    """Look a setting up by its flat name; None where this kind of network or optimizer has none such."""
    section = flat_fields()[name].section
    key = DISCRIMINATORS[section] if name in DISCRIMINATORS else NAMES_IN_SECTION.get(name, name)
    return getattr(getattr(settings, section), key, None)


def _try(
    study: Study, trial: Trial, folder: StudyFolder, plan: StudyPlan, images: ImagesOnce, reporter: Reporter
) -> None:
    began = time.monotonic()

    def end(value: float | None = None, state: TrialState | None = None) -> None:
        trial.set_user_attr(SECONDS, time.monotonic() - began)
        study.tell(trial, value, state)

    choices = {name: dimension.suggest(name, trial) for name, dimension in plan.space.items()}
    try:
        settings = settings_of(plan, choices)
        data = replace(images.load(settings.data), test=None)
        watcher = _Watcher(trial, reporter, prunes=plan.prunes)
        result = train_settings(
            settings, runs=folder.trials, name=trial_name(trial.number), data=data, reporter=watcher
        )
    except _Pruned:
        end(state=TrialState.PRUNED)
    except (NumericError, UsageError) as error:
        # Settings that are each right may not suit each other, or not learn: that is what a search finds out.
        trial.set_user_attr(WHY, error.line())
        end(state=TrialState.FAIL)
    except (SightlineError, KeyboardInterrupt):
        _break_off(study, folder, trial.number, trial.params)
        raise
    else:
        assert result.val_accuracy is not None, "there are validation images: checked before the search"
        end(result.val_accuracy)


class _Watcher(Silence):
    """Reports a trial's best validation accuracy of each epoch to the pruner, and passes on only what is brief."""

    def __init__(self, trial: Trial, reporter: Reporter, *, prunes: bool) -> None:
        self._trial, self._reporter, self._prunes = trial, reporter, prunes
        self._best = 0.0

    def begin(self, *, step: int, total_steps: int, steps_per_epoch: int, counts_steps: bool = False) -> None:
        """Show the bar."""
        self._reporter.begin(
            step=step, total_steps=total_steps, steps_per_epoch=steps_per_epoch, counts_steps=counts_steps
        )

    def step(self, step: int, images_per_second: float, loss: float | None, accuracy: float | None) -> None:
        """Move the bar."""
        self._reporter.step(step, images_per_second, loss, accuracy)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Tell the pruner. Raises _Pruned where it gives the trial up."""
        accuracy = row.get("val_accuracy")
        if accuracy is None:
            return
        self._best = max(self._best, accuracy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an epoch that was reported before a resume
            self._trial.report(self._best, int(row["epoch"]))
        if self._prunes and self._trial.should_prune():
            raise _Pruned

    def end(self) -> None:
        """Take the bar away."""
        self._reporter.end()


def _tell(study: Study, number: int, plan: StudyPlan, reporter: Reporter) -> None:
    trial = study.get_trials(deepcopy=False)[number]
    params = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    match trial.state:
        case TrialState.COMPLETE:
            outcome = f"{100 * (trial.value or 0):.2f}%"
        case TrialState.PRUNED:
            outcome = "stopped early"
        case _:
            outcome = f"failed ({trial.user_attrs.get(WHY, '')})"
    best = best_of(study)
    top = f"; best {100 * (best.value or 0):.2f}% (trial {best.number})" if best is not None else ""
    count = f"{len(ended(study))} of {plan.trials}" if plan.trials is not None else f"{len(ended(study))}"
    reporter.note(f"trial {number} ({count}): {outcome}: {params}{top}")


def best_of(study: Study) -> FrozenTrial | None:
    """Give the trial with the highest validation accuracy, the earliest of equals; None before one is complete."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def interrupted(folder: StudyFolder) -> Interrupted:
    """Say that a search was stopped, and how it goes on."""
    advice = f"The finished trials are kept. Continue with: sightline tune --resume {folder.path}"
    return Interrupted(str(folder.path), "stopped", advice=advice)
