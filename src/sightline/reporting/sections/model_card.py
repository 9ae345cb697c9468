"""A model card: the parts of a report that whoever gets the model needs, its limits, and how to load it.

It is in English and has no pictures but those that training and the test drew into the run's folder.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

from sightline.data.catalog import DATASETS
from sightline.installation import version
from sightline.reporting.blocks import Block, Cell, Code, Paragraph, Picture, Points, Report, Section
from sightline.reporting.facts import Run
from sightline.reporting.origins import ORIGINS, Origin
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections import (
    calibration,
    conclusions,
    cost,
    forecast,
    question,
    repeating,
    results,
    training,
)
from sightline.reporting.sections.images import audit_cells, grouping_cells, line, parts_table
from sightline.reporting.subjects import Comparison
from sightline.reporting.words import LANGUAGES, Words
from sightline.runs.folder import (
    CONFUSION_PICTURE,
    CURVES,
    FORECAST,
    FORECAST_PICTURE,
    METRICS,
    ONNX,
    PRETRAINED,
    RELIABILITY_PICTURE,
    RESULTS,
    SPLITS,
    TEST,
)
from sightline.runs.records import Pretrained

MOST_CLASSES_NAMED = 100


class AlreadyDrawn(Drawn):
    """The pictures that training and the test left in the run's folder; `shown` is off for a card that lies elsewhere.

    Their paths are relative to that folder.
    """

    def __init__(self, words: Words, *, shown: bool) -> None:
        self._words, self._shown = words, shown

    def curves(self, run: Run) -> Picture | None:
        """Accuracy and loss by epoch."""
        return self._picture(run, CURVES, self._words("curves"), RESULTS)

    def confusion(self, run: Run, caption: str) -> Picture | None:
        """The confusion matrix."""
        return self._picture(run, f"{TEST}/{CONFUSION_PICTURE}", caption, f"{TEST}/{METRICS}")

    def reliability(self, run: Run, caption: str) -> Picture | None:
        """The reliability diagram."""
        return self._picture(run, f"{TEST}/{RELIABILITY_PICTURE}", caption, f"{TEST}/{METRICS}")

    def forecast(self, run: Run) -> Picture | None:
        """What more pictures would bring."""
        return self._picture(run, FORECAST_PICTURE, self._words("forecast_plot"), FORECAST)

    def _picture(self, run: Run, name: str, caption: str, file: str) -> Picture | None:
        path = run.folder.path / name
        if not (self._shown and path.is_file()):
            return None
        return Picture(path.relative_to(run.folder.path), caption, file)


def card_of(run: Run, comparison: Comparison | None, words: Words, *, in_folder: bool) -> Report:
    """Put the card of a run together; `comparison` is the one that the run was a part of, if any."""
    drawn = AlreadyDrawn(words, shown=in_folder)
    sections = [
        _about(run, words),
        *([] if comparison is None else _seeds(run, comparison, words)),
        _data(run, words),
        _training(run, drawn, words),
        results.of_run(run, drawn, words),
        *calibration.section([("", run)], drawn, words),
        *forecast.section(run, drawn, words),
        cost.of_run(run, words),
        _limits(run, words),
        _loading(run),
        repeating.of_run(run, words),
    ]
    height, width, _ = run.splits.parts["train"].size
    subtitle = f"An image classifier with {len(run.classes)} classes, for pictures of {width} × {height} pixels."
    made_by = words("made_by", version=version(), name=run.folder.path.resolve().name)
    title = words("run_title", model=run.model, data=run.data)
    return Report(title, subtitle, LANGUAGES[words.language], sections, made_by)


def origin_of(run: Run) -> Origin | None:
    """Where the run's data are from; None for a folder and for data of the user's own, whatever they are called."""
    known = DATASETS.get(run.settings.data.name)
    if known is None:
        return None
    parts = run.splits.parts
    trained_on = sum(part.images for name, part in parts.items() if name != "test")
    same = known.class_names is None or tuple(run.classes) == known.class_names
    return ORIGINS[known.name] if same and known.train in (None, trained_on) else None


def _about(run: Run, words: Words) -> Section:
    asked = question.of_run(run, words)
    named = ", ".join(run.classes[:MOST_CLASSES_NAMED])
    rest = len(run.classes) - MOST_CLASSES_NAMED
    told = f"The classes: {named}{f' and {rest} more' if rest > 0 else ''}."
    return Section("about", "What it is", [*asked.blocks, Paragraph(run.cell(told, SPLITS, "classes"))])


def _seeds(run: Run, comparison: Comparison, words: Words) -> list[Section]:
    """The results of other seeds with the same settings."""
    here, folder = run.folder.path.resolve(), comparison.folder.path.resolve()
    places = [
        place
        for place, side in enumerate(comparison.sides)
        if here in [(folder / found).resolve() for found in side.runs.values()]
    ]
    if not places:
        return []
    said = (
        f"Test accuracy of the same settings with several seeds, from the comparison {folder.name}. This card "
        "describes one of these runs."
    )
    blocks: list[Block] = [Paragraph.of(said), results.sides_table(comparison, places, words)]
    return [Section("seeds", "Other seeds", blocks)]


def _data(run: Run, words: Words) -> Section:
    origin = origin_of(run)
    if origin is None:
        told = [f"Name: {run.data}.", "Source: not known.", "License: not known."]
    else:
        known = DATASETS[run.settings.data.name]
        told = [f"Name: {known.title}.", f"Source: {origin.made_by}", f"License: {origin.licence}"]
    blocks: list[Block] = [Points([Cell(text) for text in told]), Paragraph(line(run, words)), parts_table(run, words)]
    blocks.append(Points([*audit_cells(run, words), *grouping_cells(run, words)]))
    return Section("data", words("data"), blocks)


def _training(run: Run, drawn: Drawn, words: Words) -> Section:
    made = training.of_run(run, drawn, words)
    if not run.folder.has(Pretrained):
        return made
    source = run.folder.read(Pretrained)
    told = f"Training started from the weights of {source.file} (SHA-256 {source.sha256})."
    return replace(made, blocks=[Paragraph(run.cell(told, PRETRAINED, "file, sha256")), *made.blocks])


def _limits(run: Run, words: Words) -> Section:
    parts = run.splits.parts
    told = [
        run.cell(
            f"The model knows only its {len(run.classes)} classes: it assigns one of them to every picture, "
            "even to one that shows none of them.",
            SPLITS,
            "len(classes)",
        ),
        Cell(_pixels(run)),
        Cell(_chosen_by(run)),
    ]
    if "test" in parts:
        told.append(Cell(_tested_on(run)))
    told.append(
        Cell(
            "It was not tested on blurred, rotated, noisy or adversarial pictures, nor separately for groups of people "
            "or sources."
        )
    )
    concluded = conclusions.of_run(run, words)
    return Section("limits", "Limits", [Points(told), *concluded.blocks])


def _pixels(run: Run) -> str:
    how = {"squash": "squashed", "crop": "cropped", "pad": "padded"}[run.settings.data.fit]
    height, width, channels = run.splits.parts["train"].size
    color = "gray" if channels == 1 else "color"
    return f"Every picture is first resized to {width} × {height} {color} pixels; a picture of another shape is {how}."


def _chosen_by(run: Run) -> str:
    if "validation" not in run.splits.parts:
        return "There were no validation images to select an epoch, so the weights of the last epoch were kept."
    if run.settings.training.select == "last":
        return (
            "Its validation images were held out from the training images, stratified by class. They did not select "
            "the weights: the last epoch was kept."
        )
    return (
        "Its validation images, which selected the epoch, were held out from the training images, stratified by class."
    )


def _tested_on(run: Run) -> str:
    if run.settings.data.name == "digits" and origin_of(run) is not None:
        return "Its test images were held out from the dataset, which has no test split, stratified by class."
    if origin_of(run) is not None:
        return "Its test images are the dataset's own test split."
    grouping = run.splits.grouping
    told = "Its test images come from the same folder: its test split, or images held out stratified by class. "
    if grouping is not None and grouping.rule is not None:
        kept = f"groups stayed in one split (rule: {grouping.rule}; {grouping.groups:,} groups)"
        return f"{told}When images were held out, {kept}."
    return f"{told}If pictures of one object or person are in both splits, the result is too optimistic."


def _loading(run: Run) -> Section:
    title = "How to load it"
    weights = run.weights()
    if weights is None:
        return Section("load", title, [Paragraph.of("It has no weights yet.")])
    name, _ = weights
    own = run.settings.model is None
    load = f'sl.load("{name}", module=YourNetwork())' if own else f'sl.load("{name}")'
    python = (
        f'import sightline as sl\n\nclassifier = {load}\nanswer = classifier.predict("picture.png")[0]\n'
        "print(answer.label, answer.probability)"
    )
    blocks: list[Block] = [Paragraph.of("In the run's folder, in Python:"), Code(python, "python")]
    commands = [] if own else _commands(name)
    if run.folder.onnx_path.is_file():
        commands += _commands(ONNX)
    if own:
        blocks.append(Paragraph.of("Its network is a class of its author's, which is needed to load the weights."))
    if commands:
        blocks += [Paragraph.of("On the command line:"), Code("\n".join(commands), "sh")]
    if run.folder.onnx_path.is_file():
        blocks.append(Paragraph.of(f"{ONNX} gives the same answers without torch, by ONNX Runtime."))
    return Section("load", title, blocks)


def _commands(name: str) -> list[str]:
    return [shlex.join(["sightline", "predict", name, "picture.png"]), shlex.join(["sightline", "serve", name])]
