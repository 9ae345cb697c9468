"""`sightline train --folds`: start or resume a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sightline.cli.flags import leave_out
from sightline.cli.output import say, show
from sightline.language import said
from sightline.language.columns import wrapped
from sightline.printable import shortened
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import CrossValidationResult

POINTS = 100
MOST_FOLDS = 10
MEANING = (
    "The standard deviation shows how much the folds differ. It is not the standard error of the mean, because the "
    "folds share training pictures."
)


def resume_folds(data: str | None, run: Mapping[str, Any], settings: Mapping[str, Any], *, quiet: bool
                 ) -> CrossValidationResult:  # fmt: skip
    """Go on with the cross-validation `run["resume"]`. Raises UsageError where anything else is given."""
    import sightline

    others = {flag_of(name): value for name, value in {**run, **settings}.items() if name != "resume"}
    leave_out({"DATA": data, **others}, "--resume", "the settings of a cross-validation cannot change")
    return sightline.resume_cross_validation(run["resume"], quiet=quiet)


def show_folds(result: CrossValidationResult) -> None:
    """Print the accuracy over all pictures, and how to read it."""
    from rich.console import Console

    from sightline.cli.tables import facts, percent, percent_interval

    each = [percent(fold.accuracy) for fold in result.folds]
    more = f" and {len(each) - MOST_FOLDS} more" if len(each) > MOST_FOLDS else ""
    groups = "" if result.groups is None else f" in {result.groups:,} groups"
    support = sum(result.confusion_matrix[result.classes.index(result.worst_class)])
    rows = [
        ("folds", said(f"{result.folder}, {len(each)} folds of {result.images:,} pictures{groups}")),
        ("model", said(f"{result.model} on {result.data}")),
        ("accuracy", f"{percent(result.accuracy)}{percent_interval(result.interval)}"),
        ("per fold", said(f"{percent(result.mean)} ± {POINTS * result.sd:.2f}: {', '.join(each[:MOST_FOLDS])}{more}")),
        ("balanced", f"{percent(result.balanced_accuracy)}  {said('(mean over the classes)')}"),
        (
            "worst class",
            said(
                f"{shortened(result.worst_class)}: recall {percent(result.worst_class_recall)} of {support:,} pictures"
            ),
        ),
        (
            "mistakes",
            said(f"{result.mistakes:,}; {result.answers.name} lists all pictures, the most doubtful label first"),
        ),
    ]
    facts(rows)
    say()
    text = said(f"Each picture was classified by a model that never saw it. {MEANING}")
    show(*wrapped(text, Console().width))
