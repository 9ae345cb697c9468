"""`sightline forecast`: estimate the accuracy with two and four times as many training images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json, say
from sightline.language import said

if TYPE_CHECKING:
    from sightline import ForecastResult
    from sightline.runs.records import ExpectedAccuracy

    DataFlags = Any
    NONE_GIVEN: Any = None
else:
    DataFlags = setting_flags(names=("data_dir", "device"))
    NONE_GIVEN = DataFlags()

FORECAST = Group("Forecast", sort_key=1)


def forecast(
    run: Annotated[Path, Parameter(group=FORECAST, help="The folder of a run that started from pretrained weights.")],
    /,
    *,
    repeats: Annotated[
        int,
        Parameter(group=FORECAST, help="Number of times that each image is used for measuring, with different heads."),
    ] = 2,
    flags: DataFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Fit heads to fewer images, and print the accuracy to expect with more."""
    with output.working():
        import sightline

        result = sightline.forecast(run, repeats=repeats, **given(flags))
    if output.json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: ForecastResult) -> None:
    from sightline.cli.tables import percent, table

    found = result.forecast
    head = ["training images", "", "accuracy", f"{100 * found.confidence:g}% interval", "gain in points", "interval"]
    rows = [[f"{size.images:,.0f}", said("measured"), percent(size.accuracy), "", "", ""] for size in found.measured]
    rows.append([f"{found.now.images:,}", said("current number"), *_level(found.now), "", ""])
    for point in found.predictions:
        what = said(f"forecast: {point.images / found.images:g} times as many")
        rows.append(
            [f"{point.images:,}", what, *_level(point), f"{100 * point.gain:+.2f}", _points(point.gain_interval)]
        )
    table(head, rows)
    say()
    say(
        f"Measured on {found.asked:,} training and validation images, with heads fitted to the frozen features of "
        f"{found.weights}. No head was fitted to the images that it was measured on."
    )
    if result.accuracy is not None:
        say(
            f"The run's own network has a validation accuracy of {percent(result.accuracy)}; this head is expected to "
            f"reach {percent(found.now.accuracy)}. Rely on the gain, not on the absolute accuracy."
        )
    say(f"Written to {', '.join(map(str, result.files))}.")


def _level(point: ExpectedAccuracy) -> tuple[str, str]:
    from sightline.cli.tables import between, percent

    low, high = point.interval
    return percent(point.accuracy), between(percent(low), percent(high))


def _points(interval: tuple[float, float]) -> str:
    from sightline.cli.tables import between

    low, high = interval
    return between(f"{100 * low:+.2f}", f"{100 * high:+.2f}")
