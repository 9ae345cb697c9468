"""From a space of settings to a winner, and an honest comparison of it with where the search began.

`tune` begins a study, `resume_study` takes one up. A trial is one run with one seed, so the winner's validation
accuracy flatters it: it is the best of many draws. Therefore the winner and the settings that the search began from are
trained anew with several seeds, and tested once.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline import device as device_room
from sightline.augment import resolve_augment
from sightline.comparison import compare as comparing
from sightline.comparison.compare import ComparisonResult
from sightline.comparison.running import ImagesOnce
from sightline.comparison.sides import LENGTHS, Side
from sightline.drawing import study as study_drawing
from sightline.errors import DataError, Interrupted, ResourceError, UsageError, needs
from sightline.files.locks import only_one
from sightline.settings import Settings, data_name, model_name
from sightline.settings.text import text
from sightline.training.reporter import Reporter, make_reporter
from sightline.training.tracking import check_tracking
from sightline.tuning.folder import SEEDS, TRIALS, StudyFolder, StudyPlan, has_password_left_out, without_password
from sightline.tuning.records import StudyRecord, TrialRecord
from sightline.tuning.space import default_space, read_space, space_of

with needs("tune", "tune", "optuna", package="Optuna"):
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.trial import FrozenTrial, TrialState

    from sightline.tuning.trials import (
        SECONDS,
        best_of,
        changes_of,
        check_space,
        ended,
        has_all_trials,
        has_used_its_seconds,
        interrupted,
        open_study,
        search,
        seconds_of,
        settings_of,
        value_of,
    )  # fmt: skip

FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True, kw_only=True)
class TuneResult(StudyRecord):
    """A study: its folder, its results, and the final comparison.

    `changes` has the winner's settings that differ from the start, by name, and `before` their values at the start.
    `comparison` is None if no seeds were requested, or if nothing was better than the start.
    """

    folder: Path
    comparison: ComparisonResult | None

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        final = None if self.comparison is None else self.comparison.to_dict()
        return {"folder": str(self.folder), **super().to_dict(), "comparison": final}


def tune(
    data: str | Path,
    *,
    recipe: str | None = None,
    space: Mapping[str, Any] | str | Path | None = None,
    trials: int = TRIALS,
    seconds: float | None = None,
    seeds: int | Sequence[int] = SEEDS,
    storage: str | None = None,
    study: str | None = None,
    studies: str | Path = "studies",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> TuneResult:
    """Search for better settings on validation images, then compare the winner with the start of the search.

    `recipe` and `settings` define the start, as in `train`. `space`: the search space, a YAML file or a dictionary such
    as `{"lr": {"low": 0.01, "high": 1, "log": True}, "flip": {"choices": ["none", "random"]}}`; by default learning
    rate, batch size, width, depth and augmentation. The search ends after `trials`, or after the trial during which
    `seconds` pass. `seeds`: those of the comparison at the end, which alone uses the test images; 0 or () skips it.
    `storage` and `study`: an Optuna storage URL and the study's name in it, for machines that share a search.

    Needs Optuna: the extra `tune`. Raises UsageError without it and for settings that cannot be searched, DataError if
    there are no validation images, Interrupted (all finished trials are kept), and the errors of `train`.
    """
    reporter = make_reporter(quiet=quiet)
    chosen = _seeds(seeds)
    chosen_space = (
        read_space(Path(space)) if isinstance(space, str | Path) else space_of(space, "space") if space else None
    )
    _check(trials, seconds, chosen, settings)
    if storage is not None and study is None:
        raise UsageError("--storage", "given without --study", "the name that the machines share in it")
    plan = StudyPlan(study or "sightline", str(data), recipe, settings, chosen_space or {}, storage, prunes=True,
                     trials=trials, seconds=seconds, seeds=chosen)  # fmt: skip
    base, images = settings_of(plan, {}), ImagesOnce()
    check_tracking(base)
    loaded = images.load(base.data)
    if base.data.validation == 0 and loaded.val is None:
        raise UsageError("--validation", "0 found", "validation images, which judge the trials")
    if chosen_space is None:
        augment = base.augment.replace(flip="auto")
        flip = resolve_augment(augment, data_name(base.data), loaded.train.class_names)[0].flip
        assert flip != "auto"
        plan = replace(plan, space=default_space(base, flip))
    # Trials of different lengths cannot be compared half-way.
    plan = replace(plan, prunes=not {*LENGTHS} & {*plan.space})
    check_space(plan)
    folder = StudyFolder.create(Path(studies), name or _name(base))
    folder.write_plan(plan)
    for setting, dimension in plan.space.items():
        reporter.note(f"{setting}: {_described(dimension.to_dict())}, starting at {text(value_of(base, setting))}")
    return _run(folder, plan, images, reporter)


def resume_study(
    folder: str | Path,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    seeds: int | Sequence[int] | None = None,
    storage: str | None = None,
    quiet: bool = False,
) -> TuneResult:
    """Continue an interrupted study, up to `trials` in total or for `seconds` more; then compare as `tune` does.

    Values that are not given stay as they were. If the search has reached its limit of trials or seconds, giving only
    one of the two removes the other limit. `storage`: the URL of the study's storage, if it has a password, which is
    not recorded. Raises FileError if `folder` is not a study, UsageError for another storage or a missing password.
    """
    place = StudyFolder.open(Path(folder))
    plan = place.plan()
    plan = plan if seeds is None else replace(plan, seeds=_seeds(seeds))
    _check(trials, seconds, plan.seeds, {})
    plan = replace(plan, storage=_storage(plan, storage))
    check_tracking(settings_of(plan, {}))
    return _run(place, plan, ImagesOnce(), make_reporter(quiet=quiet), trials, seconds)


def _storage(plan: StudyPlan, given: str | None) -> str | None:
    """The URL of a recorded study's storage, with its password."""
    if given is not None and plan.storage != without_password(given):
        recorded = plan.storage or "none, since the trials are in the study's folder"
        raise UsageError("--storage", f"{without_password(given)} found", recorded)
    if given is None and plan.storage is not None and has_password_left_out(plan.storage):
        advice = "Add --storage with the whole URL."
        raise UsageError("--storage", f"the password of {plan.storage} is not recorded", advice=advice)
    return given or plan.storage


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(range(seeds) if isinstance(seeds, int) else seeds)


def _check(trials: int | None, seconds: float | None, seeds: Sequence[int], flags: Mapping[str, Any]) -> None:
    if trials is not None and trials < 1:
        raise UsageError("--trials", f"{trials} found", "1 or more")
    comparing.check_seconds(seconds)
    comparing.check_seeds(seeds)
    if "watch_test" in flags:
        raise UsageError("--watch-test", "given to a search", "validation images decide")


def _run(
    folder: StudyFolder,
    plan: StudyPlan,
    images: ImagesOnce,
    reporter: Reporter,
    trials: int | None = None,
    more_seconds: float | None = None,
) -> TuneResult:
    base = settings_of(plan, {})
    with _only_one(folder), folder.rewriting(), _quiet_optuna():
        study = open_study(folder, plan, seed=base.training.seed)
        if more_seconds is not None:
            plan = replace(
                plan,
                seconds=seconds_of(study, folder) + more_seconds,
                trials=None if has_all_trials(study, plan) else plan.trials,
            )
        elif trials is not None and has_used_its_seconds(study, folder, plan):
            plan = replace(plan, seconds=None)
        plan = plan if trials is None else replace(plan, trials=trials)
        if plan != folder.plan():
            folder.write_plan(plan)
        ends = {f"{plan.trials} trials": plan.trials, f"{plan.seconds or 0:,.0f} s": plan.seconds}
        reporter.note(f"{folder.path}: up to {' or '.join(end for end, value in ends.items() if value is not None)}")
        try:
            with device_room.explain_memory("training"):
                search(study, folder, plan, images=images, reporter=reporter)
            best = best_of(study)
            if best is None:
                raise DataError(str(folder.path), "no trial finished", "at least one", "Widen the search space.")
            changes = {
                name: value
                for name, value in changes_of(plan, best.params).items()
                if text(value) != text(value_of(base, name))
            }
            results = _results(study, plan, base, best, changes)
            _draw(folder, plan, results)
            folder.write_results(results)
            if not plan.seeds or not changes:
                return TuneResult(folder=folder.path, comparison=None, **vars(results))
            final = _compare(folder, base, settings_of(plan, changes), plan.seeds, reporter)
        except (KeyboardInterrupt, Interrupted) as error:
            raise interrupted(folder) from error
    results = replace(results, final=final.folder.relative_to(folder.path).as_posix())
    folder.write_results(results)
    return TuneResult(folder=folder.path, comparison=final, **vars(results))


def _compare(
    folder: StudyFolder,
    base: Settings,
    winner: Settings,
    seeds: Sequence[int],
    reporter: Reporter,
) -> ComparisonResult:
    """Train start and winner anew, with several seeds, or go on with it where it was stopped."""
    start = base.recipe or model_name(base.model)
    sides = [Side(start, base), Side(f"{start}, tuned", winner)]
    for path in folder.comparisons():
        known = comparing.seeds_of(path, sides)
        if known is not None:
            # What was looked at with some seeds cannot be looked at with fewer.
            further = [seed for seed in seeds if seed not in known]
            return comparing.resume_comparison(path, seeds=[*known, *further], reporter=reporter)
    return comparing.compare_settings(sides, seeds=seeds, comparisons=folder.final, name="winner", reporter=reporter)


def _results(
    study: optuna.Study, plan: StudyPlan, base: Settings, best: FrozenTrial, changes: Mapping[str, Any]
) -> StudyRecord:
    trials = ended(study)
    count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    start = {name: dimension.stored(value_of(base, name)) for name, dimension in plan.space.items()}
    same = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.params == start]
    assert best.value is not None, "the best trial is a complete one"
    return StudyRecord(
        study=plan.study,
        data=data_name(base.data),
        model=model_name(base.model),
        trials=len(trials),
        complete=count[TrialState.COMPLETE],
        pruned=count[TrialState.PRUNED],
        failed=count[TrialState.FAIL],
        seconds=sum(trial.user_attrs.get(SECONDS, 0.0) for trial in trials),
        best_trial=best.number,
        changes={name: _plain(value) for name, value in changes.items()},
        before={name: _plain(value_of(base, name)) for name in changes},
        validation=best.value,
        validation_before=same[0] if same else None,
        importance=_importance(study),
        final=None,
        budget=plan.budget,
        all_trials=tuple(
            TrialRecord(number=trial.number, value=trial.value, params=trial.params, state=trial.state.name.lower())
            for trial in trials
        ),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _importance(study: optuna.Study) -> dict[str, float]:
    """Importance of each setting by PED-ANOVA (arXiv 2304.10255)."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) == 1:
        return {}
    return {
        name: float(value)
        for name, value in optuna.importance.get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator()
        ).items()
    }


def _draw(folder: StudyFolder, plan: StudyPlan, results: StudyRecord) -> None:
    trials = results.to_dict()["all_trials"]
    logs = {name for name, dimension in plan.space.items() if getattr(dimension, "log", False)}
    study_drawing.history(trials, folder.history_path)
    study_drawing.slices(trials, logs, folder.slices_path)
    if results.importance:
        study_drawing.importance(results.importance, folder.importance_path)


def _name(settings: Settings) -> str:
    return f"{data_name(settings.data)}-{model_name(settings.model)}"


def _described(dimension: Mapping[str, Any]) -> str:
    if "choices" in dimension:
        return " | ".join(text(value) for value in dimension["choices"])
    return f"{dimension['low']:g} to {dimension['high']:g}" + (", by its logarithm" if dimension["log"] else "")


def _only_one(folder: StudyFolder) -> contextlib.AbstractContextManager[None]:
    advice = "Wait until it has ended. Further machines or processes need a folder of their own and --storage."
    refusal = ResourceError(str(folder.path), "another process is searching here", advice=advice)
    return only_one(folder.lock_path, refusal, 0)


@contextlib.contextmanager
def _quiet_optuna() -> Generator[None]:
    """Keep Optuna's notes on experimental parts of itself from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
