"""`sightline train --folds`: a cross-validation from its settings, or one taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

from sightline.cli.flags import leave_out
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import CrossValidationResult

POINTS = 100
MOST_FOLDS = 10
MEANING = "The spread says how much folds differ. It is no error of the mean: their models share training pictures."


def resume_folds(data: str | None, run: Mapping[str, Any], settings: Mapping[str, Any], *, quiet: bool
                 ) -> CrossValidationResult:  # fmt: skip
    """Go on with the cross-validation `run["resume"]`. Raises UsageError where anything else is given."""
    import sightline

    others = {flag_of(name): value for name, value in {**run, **settings}.items() if name != "resume"}
    leave_out({"DATA": data, **others}, "--resume", "a cross-validation keeps all that it began with")
    return sightline.resume_cross_validation(run["resume"], quiet=quiet)


def show_folds(result: CrossValidationResult) -> None:
    """Print what all answers come to, and what the figure is not."""
    from rich.console import Console

    from sightline.cli.tables import facts, percent, percent_interval

    each = [percent(fold.accuracy) for fold in result.folds]
    more = f" and {len(each) - MOST_FOLDS} more" if len(each) > MOST_FOLDS else ""
    groups = "" if result.groups is None else f" in {result.groups:,} groups"
    support = sum(result.confusion_matrix[result.classes.index(result.worst_class)])
    rows = [
        ("folds", f"{result.folder}, {len(each)} folds of {result.images:,} pictures{groups}"),
        ("model", f"{result.model} on {result.data}"),
        ("accuracy", f"{percent(result.accuracy)}{percent_interval(result.interval)}"),
        ("of folds", f"{percent(result.mean)} ± {POINTS * result.sd:.2f}: {', '.join(each[:MOST_FOLDS])}{more}"),
        ("balanced", f"{percent(result.balanced_accuracy)}  (mean over the classes)"),
        ("worst class", f"{result.worst_class}: {percent(result.worst_class_recall)} of its {support:,} found"),
        ("mistakes", f"{result.mistakes:,}; {result.answers.name} has every answer, the most doubtful label first"),
    ]
    facts(rows)
    print()
    print(fill(f"Each picture was answered by a model that never saw it. {MEANING}", Console().width))
