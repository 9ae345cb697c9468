"""The diagram of a network: boxes that stand for all its parts, with words that fit into them, and bands of curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sightline.drawing import canvas, curves
from sightline.drawing import network as network_drawing
from sightline.drawing.network import MOST_BOXES, boxes_of
from sightline.errors import DataError
from sightline.models import build_model, summarize
from sightline.runs.records import NetworkPart, NetworkSummary
from sightline.settings import build_settings


def network(preset: str, size: int) -> NetworkSummary:
    settings = build_settings(None, {"model": preset})
    assert settings.model is not None
    model = build_model(settings.model, channels=3, num_classes=10, image_size=(size, size))
    summary = summarize(model, 3, (size, size))
    return NetworkSummary("Network", summary.input, summary.parts, summary.parameters, summary.macs)


def of_parts(*parts: NetworkPart) -> NetworkSummary:
    return NetworkSummary("Network", (1, 1, 8, 8), parts, sum(part.parameters for part in parts), 1)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []

    def write(path: Path, draw: Callable[[], Figure], *, trim: bool = False) -> None:
        figures.append(draw())
        FigureCanvasAgg(figures[-1])

    monkeypatch.setattr(canvas, "write", write)
    return figures


@pytest.mark.parametrize(("preset", "size"), [("cnn", 28), ("resnet20", 32), ("resnet50", 64), ("resnet110", 32)])
def test_the_boxes_stand_for_every_part(preset: str, size: int) -> None:
    told = network(preset, size)
    boxes = boxes_of(told, 10)
    assert boxes[0].name == "image" and boxes[0].output == f"3×{size}×{size}"
    assert boxes[-1].name == "answer" and boxes[-1].output == "10"
    assert sum(box.parameters for box in boxes) == told.parameters
    assert sum(box.times for box in boxes[1:-1]) == len([part for part in told.parts if part.output is not None])
    assert 3 <= len(boxes) <= MOST_BOXES


def test_blocks_that_are_alike_are_one_box() -> None:
    names = [box.lines()[0] for box in boxes_of(network("resnet20", 32), 10)]
    assert any(name.endswith("×3") or name.endswith("×2") for name in names), names


def test_parts_that_run_in_training_only_are_left_out() -> None:
    parts = NetworkPart("body.conv", "Conv2d", (1, 8, 4, 4), 80, 1), NetworkPart("auxiliary", "Head", None, 7, 0)
    assert [box.name for box in boxes_of(of_parts(*parts), 2)] == ["image", "conv", "answer"]


def test_a_very_long_network_loses_its_middle() -> None:
    parts = [NetworkPart(f"body.{'ab'[place % 2]}{place}", "Part", (1, place + 1), 1, 0) for place in range(300)]
    boxes = boxes_of(of_parts(*parts), 2)
    assert len(boxes) <= MOST_BOXES and sum(box.parameters for box in boxes) == 300
    assert sum(box.times for box in boxes[1:-1]) == 300


@pytest.mark.parametrize("preset", ["cnn", "resnet50"])
def test_words_stay_in_their_boxes_and_boxes_on_the_paper(preset: str, drawn: list[Figure], tmp_path: Path) -> None:
    told = network(preset, 64)
    wide = replace(told.parts[0], name="body." + "W" * 90)
    network_drawing.draw(replace(told, parts=(wide, *told.parts[1:])), 10, tmp_path / "n.png")
    (figure,) = drawn
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    for text in axes.texts:
        found = text.get_window_extent(renderer)
        assert any(box.contains(found.x0, found.y0) and box.contains(found.x1, found.y1) for box in boxes), (
            text.get_text()
        )
    paper = figure.bbox
    assert all(paper.contains(box.x0, box.y0) and paper.contains(box.x1, box.y1) for box in boxes)
    apart = [(one, other) for place, one in enumerate(boxes) for other in boxes[place + 1 :] if one.overlaps(other)]
    assert not apart


@pytest.mark.draws
def test_a_diagram_is_a_picture(tmp_path: Path) -> None:
    network_drawing.draw(network("cnn", 28), 10, tmp_path / "n.png")
    with Image.open(tmp_path / "n.png") as opened:
        assert np.asarray(opened.convert("L")).std() > 5


# Bands over seeds


def rows(accuracies: list[float], **more: float) -> list[dict[str, str]]:
    return [{"epoch": str(n), "val_accuracy": str(value), "train_loss": "1", **{k: str(v) for k, v in more.items()}}
            for n, value in enumerate(accuracies, start=1)]  # fmt: skip


def test_a_band_goes_from_the_lowest_to_the_highest_seed(drawn: list[Figure], tmp_path: Path) -> None:
    sides = {"one": [rows([0.2, 0.6, 0.8]), rows([0.4, 0.7])], "two": [rows([0.5, 0.5, 0.5])]}
    curves.bands(sides, tmp_path / "b.png")
    left, right = drawn[0].axes
    first, second = (np.asarray(line.get_ydata(), float) for line in left.lines)
    assert np.allclose(first, [0.3, 0.65, 0.8]) and np.allclose(second, 0.5)
    (band,) = left.collections
    corners = np.asarray(band.get_paths()[0].vertices)
    at_two = corners[corners[:, 0] == 2][:, 1]
    assert np.isclose(at_two.min(), 0.6) and np.isclose(at_two.max(), 0.7)
    assert len(right.lines) == 2


def test_a_side_without_validation_shows_its_training_accuracy_dotted(drawn: list[Figure], tmp_path: Path) -> None:
    told = [{"epoch": "1", "train_accuracy": "0.4", "train_loss": "2", "val_accuracy": ""}]
    curves.bands({"own": [told]}, tmp_path / "b.png")
    (line,) = drawn[0].axes[0].lines
    assert line.get_linestyle() == ":" and list(line.get_ydata()) == [0.4]


def test_bands_without_an_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no epoch"):
        curves.bands({"one": [[]]}, tmp_path / "b.png")
