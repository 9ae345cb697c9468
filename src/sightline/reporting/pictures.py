"""The pictures of a report, drawn in its language into a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.drawing import comparison as comparison_drawing
from sightline.drawing import confusion, curves, gallery, network, reliability
from sightline.drawing import forecast as forecast_drawing
from sightline.drawing import study as study_drawing
from sightline.reporting.blocks import Picture
from sightline.reporting.facts import Run, StoredPictures, file_of
from sightline.reporting.subjects import Comparison, Study
from sightline.reporting.words import Words
from sightline.runs.folder import EXPLANATIONS, FORECAST, MISTAKES, NETWORK, RESULTS, SAMPLES

SAMPLE_COLUMNS, SAMPLE_ROWS = 10, 3
MOST_MISTAKES = 12


class Drawn:
    """Draws each picture once into `folder`, under a name of its own."""

    def __init__(self, folder: Path, words: Words) -> None:
        self._folder, self._words = folder, words
        self._drawn = words.drawn
        self._count = 0

    def _path(self, name: str) -> Path:
        self._count += 1
        return self._folder / f"{self._count:02d}-{name}.png"

    def samples(self, run: Run) -> Picture | None:
        """A few training images of each class, None where the run kept none."""
        kept = run.samples()
        if kept is None:
            return None
        pixels, labels = kept
        path = self._path("samples")
        classes = sorted(set(labels.tolist()))
        columns = SAMPLE_COLUMNS
        rows = [int(np.flatnonzero(labels == label)[0]) for label in classes[: SAMPLE_ROWS * SAMPLE_COLUMNS]]
        # A column for each class where they are few, so that a class is seen at a glance.
        if len(classes) <= SAMPLE_COLUMNS:
            each = min(SAMPLE_ROWS, *(int((labels == label).sum()) for label in classes))
            rows = [int(np.flatnonzero(labels == label)[place]) for place in range(each) for label in classes]
            columns = len(classes)
        captions = [(run.classes[int(labels[row])],) for row in rows]
        gallery.draw(pixels[rows], captions, path, columns=columns)
        return Picture(path, self._words("samples"), run.cell("", SAMPLES).file)

    def diagram(self, run: Run) -> Picture | None:
        """The network as a chain of boxes, None where its parts are not known."""
        if run.network is None or not run.network.parts:
            return None
        path = self._path("network")
        network.draw(run.network, len(run.classes), path, words=self._drawn)
        return Picture(path, self._words("diagram"), run.cell("", NETWORK).file)

    def curves(self, run: Run) -> Picture | None:
        """Accuracy and loss by epoch, None where no epoch was finished."""
        if not run.epochs:
            return None
        path, chosen = self._path("curves"), run.selected()
        selected = None if chosen is None else int(chosen["epoch"])
        curves.draw(run.epochs, path, selected_epoch=selected, words=self._drawn)
        return Picture(path, self._words("curves"), run.cell("", RESULTS).file)

    def bands(self, comparison: Comparison) -> Picture | None:
        """The sides' curves, with bands over the seeds."""
        sides = {
            name: [run.epochs for run in runs.values()]
            for (name, _), runs in zip(comparison.named, comparison.runs, strict=True)
        }
        if not any(rows for runs in sides.values() for rows in runs):
            return None
        path = self._path("curves")
        curves.bands(sides, path, words=self._drawn)
        return Picture(path, self._words("bands"), file_of(comparison.every_run, RESULTS))

    def confusion(self, run: Run, caption: str) -> Picture | None:
        """The confusion matrix."""
        if run.metrics is None:
            return None
        path = self._path("confusion")
        matrix = np.array(run.metrics.confusion_matrix, np.int64)
        confusion.draw(matrix, run.classes, path, words=self._drawn)
        return Picture(path, caption, run.metric("", "").file)

    def reliability(self, run: Run, caption: str) -> Picture | None:
        """The reliability diagram, None where a test of an older version did not keep it."""
        report = run.metrics
        if report is None or not any(part.n for part in report.reliability):
            return None
        path = self._path("reliability")
        reliability.draw(report.reliability, report.ece or 0.0, path, words=self._drawn)
        return Picture(path, caption, run.metric("", "").file)

    def forecast(self, run: Run) -> Picture | None:
        """What more pictures would bring, None where it was not forecast."""
        if run.forecast is None:
            return None
        path = self._path("forecast")
        forecast_drawing.draw(run.forecast, path, words=self._drawn)
        return Picture(path, self._words("forecast_plot"), run.cell("", FORECAST).file)

    def mistakes(self, run: Run, caption: str) -> Picture | None:
        """The worst mistakes."""
        kept = run.mistakes()
        return None if kept is None else self._gallery(run, kept, MISTAKES, caption)

    def explanations(self, run: Run) -> Picture | None:
        """Where the network looked."""
        kept = run.explanations()
        return None if kept is None else self._gallery(run, kept, EXPLANATIONS, self._words("explanations"))

    def _gallery(self, run: Run, kept: StoredPictures, file: str, caption: str) -> Picture:
        predictions = run.predictions
        assert predictions is not None
        path = self._path(Path(file).stem)
        rows = kept.rows[:MOST_MISTAKES]
        predicted, names = predictions.predicted(), predictions.class_names
        lines: list[tuple[str, str]] = []
        for row in rows:
            label, answer = predictions.labels[row], predicted[row]
            confidence = f"{100 * predictions.probabilities[row, answer]:.1f}%"
            said = self._drawn.right_answer if label == answer else self._drawn.not_answer
            lines.append((names[label], said.format(answer=names[answer], confidence=confidence)))
        heat = None if kept.maps is None else kept.maps[:MOST_MISTAKES]
        gallery.draw(kept.pixels[:MOST_MISTAKES], lines, path, heat=heat)
        return Picture(path, caption, run.test_cell("", file).file)

    def accuracies(self, comparison: Comparison, *, with_differences: bool = True) -> Picture:
        """Seeds and means, and the differences below them."""
        path = self._path("accuracies")
        content = comparison.results.to_dict()
        pairs = content["pairs"] if with_differences else []
        comparison_drawing.draw(content["sides"], pairs, path, words=self._drawn)
        caption = self._words("accuracy_plot" if with_differences else "accuracy_plot_sides")
        return Picture(path, caption, comparison.cell("", "").file)

    def search(self, study: Study) -> Mapping[str, Picture]:
        """History, slices, and importance where there is one."""
        logs = {name for name, dimension in study.plan.space.items() if getattr(dimension, "log", False)}
        trials: Sequence[Mapping[str, object]] = study.results.to_dict()["all_trials"]
        pictures: dict[str, Picture] = {}
        if any(trial["state"] == "complete" for trial in trials):
            path = self._path("history")
            study_drawing.history(trials, path, words=self._drawn)
            pictures["history"] = Picture(path, self._words("history"))
            path = self._path("slices")
            study_drawing.slices(trials, logs, path, words=self._drawn)
            pictures["slices"] = Picture(path, self._words("slices"))
        if study.results.importance:
            path = self._path("importance")
            study_drawing.importance(study.results.importance, path, words=self._drawn)
            pictures["importance"] = Picture(path, self._words("importance_plot"))
        return {name: replace(picture, file=study.cell("", "").file) for name, picture in pictures.items()}
