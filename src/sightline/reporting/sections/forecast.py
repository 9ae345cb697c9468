"""What more pictures would bring, where `sightline forecast` told."""

from __future__ import annotations

from sightline.reporting.blocks import Block, Cell, Paragraph, Pictures, Points, Section, Slide, Table
from sightline.reporting.facts import Run
from sightline.reporting.numerals import confidence, percent, signed, whole
from sightline.reporting.pictures import Drawn
from sightline.reporting.words import Words
from sightline.runs.folder import FORECAST
from sightline.runs.records import ExpectedAccuracy, Forecast


def section(run: Run, drawn: Drawn, words: Words) -> list[Section]:
    """Tell what was forecast; nothing where nothing was."""
    found = run.forecast
    if found is None:
        return []
    told = [_told(run, found, place, words) for place in range(len(found.predictions))]
    how = words("forecast_how", weights=found.weights, asked=whole(found.asked))
    notes = [run.cell(how, FORECAST, "weights, asked"), *_own(run, found, words)]
    picture = drawn.forecast(run)
    blocks: list[Block] = [Points(told), _table(run, found, words), *map(Paragraph, notes)]
    if picture is not None:
        blocks.append(Pictures([picture]))
    slide = Slide(words("forecast"), [cell.text for cell in [*told, *notes[1:]]], picture)
    return [Section("forecast", words("forecast"), blocks, [slide])]


def _told(run: Run, found: Forecast, place: int, words: Words) -> Cell:
    point, key = found.predictions[place], f"predictions.{place}"
    low, high = map(percent, point.interval)
    least, most = map(signed, point.gain_interval)
    said = words(
        "forecast_told", times=f"{point.images / found.images:g}", images=whole(point.images), low=low, high=high,
        gain=signed(point.gain), least=least, most=most, confidence=confidence(found.confidence),
    )  # fmt: skip
    return run.cell(said, FORECAST, f"{key}.images, {key}.interval, {key}.gain, {key}.gain_interval, confidence")


def _own(run: Run, found: Forecast, words: Words) -> list[Cell]:
    """Set the run's own network beside the head, where validation tells of it."""
    row = run.selected()
    if row is None:
        return []
    own, head = percent(float(row["val_accuracy"])), percent(found.now.accuracy)
    return [run.cell(words("forecast_own", own=own, head=head), FORECAST, "now.accuracy")]


def _table(run: Run, found: Forecast, words: Words) -> Table:
    rows: list[list[Cell]] = []
    for place, size in enumerate(found.measured):
        key = f"measured.{place}"
        images = run.cell(whole(size.images), FORECAST, f"{key}.images, {key}.draws")
        accuracy = run.cell(percent(size.accuracy), FORECAST, f"{key}.accuracy")
        rows.append([images, Cell(words("measured")), accuracy, Cell(""), Cell("")])
    rows.append([*_expected(run, found.now, "now", words("expected"), words), Cell("")])
    for place, point in enumerate(found.predictions):
        key = f"predictions.{place}"
        gain = run.cell(signed(point.gain), FORECAST, f"{key}.gain")
        rows.append([*_expected(run, point, key, words("expected"), words), gain])
    interval = words("forecast_interval", confidence=confidence(found.confidence))
    return Table([words("train_images"), words("how_known"), words("accuracy"), interval, words("gain")], rows)


def _expected(run: Run, point: ExpectedAccuracy, key: str, how: str, words: Words) -> list[Cell]:
    low, high = map(percent, point.interval)
    return [
        run.cell(whole(point.images), FORECAST, f"{key}.images"),
        Cell(how),
        run.cell(percent(point.accuracy), FORECAST, f"{key}.accuracy"),
        run.cell(words("between", low=low, high=high), FORECAST, f"{key}.interval"),
    ]
