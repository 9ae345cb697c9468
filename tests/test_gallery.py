"""What a test and a run keep to be looked at: mistakes, samples, the network's parts, and where a network looked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.cli.app import run
from sightline.drawing import gallery
from sightline.drawing.lettering import shortened
from sightline.evaluation.predictions import Predictions, report_of, store_test
from sightline.files import arrays
from sightline.installation import install_command
from sightline.models import build_model
from sightline.printable import columns
from sightline.runs.folder import RunFolder, TestFolder
from sightline.runs.records import NetworkSummary
from sightline.settings import ResNetSettings, build_settings

pytestmark = pytest.mark.draws


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> sl.TrainResult:
    place = tmp_path_factory.mktemp("runs")
    return sl.train("digits", model="resnet8", epochs=1, batch_size=64, threads=1, runs=place, quiet=True)


# Lettering


@pytest.mark.parametrize(("text", "most"), [("a" * 50, 10), ("数字" * 20, 11), ("a/b/c/" * 9 + "name.png", 20)])
def test_a_long_text_is_cut_in_its_middle_to_the_width(text: str, most: int) -> None:
    found = shortened(text, most, 1 / 2)
    assert columns(found) <= most and "…" in found
    assert text.startswith(found.split("…")[0]) and text.endswith(found.split("…")[1])


def test_a_short_text_stays_and_loses_only_its_breaks() -> None:
    assert shortened("two\nlines  of text", 40) == "two lines of text"


# Mistakes


def made_up(right: bool) -> tuple[Predictions, sl.Settings, Any]:
    from sightline.data import ImageSet

    pixels = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4, 1)
    labels = np.array([0, 1, 0, 1, 0, 1])
    probabilities = np.full((6, 2), 0.5, np.float32)
    for row, label in enumerate(labels):
        sure = 0.6 + 0.05 * row
        answer = label if right or row in (0, 3) else 1 - label
        probabilities[row, answer], probabilities[row, 1 - answer] = sure, 1 - sure
    images = ImageSet.from_arrays(pixels, labels, [f"test/{i}" for i in range(6)], ("cat", "dog"))
    return Predictions(tuple(images.ids), images.labels, probabilities, images.class_names), build_settings(), images


def test_the_pictures_of_the_surest_mistakes_are_kept(tmp_path: Path) -> None:
    predictions, _, images = made_up(right=False)
    store_test(predictions, TestFolder(tmp_path), report_of(predictions), images)
    kept = arrays.load(tmp_path / "mistakes.npz", ("rows", "pixels"), "mistakes")
    assert kept["rows"].tolist() == [5, 4, 2, 1]
    assert (kept["pixels"] == images.pixels[[5, 4, 2, 1]]).all()
    with Image.open(tmp_path / "mistakes.png") as picture:
        assert picture.width > 4 * gallery.SIDE


def test_no_mistakes_leave_no_gallery_of_an_older_test(tmp_path: Path) -> None:
    for right in (False, True):
        predictions, _, images = made_up(right=right)
        store_test(predictions, TestFolder(tmp_path), report_of(predictions), images)
    assert not list(tmp_path.glob("mistakes*"))


@pytest.mark.parametrize("shape", [(28, 28, 1), (40, 20, 3), (300, 200, 3)])
def test_a_sheet_shows_each_picture_in_its_colours(shape: tuple[int, int, int], tmp_path: Path) -> None:
    colours = np.array([[250, 10, 10], [10, 10, 250]])[:, None, None, : shape[2]]
    pixels = np.broadcast_to(colours, (2, *shape)).astype(np.uint8)
    gallery.draw(pixels, [("one",), ("two",)], tmp_path / "sheet.png", title="a title")
    with Image.open(tmp_path / "sheet.png") as picture:
        drawn = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in colours[:, 0, 0]:
        wanted = np.broadcast_to(colour, 3)
        assert (np.abs(drawn.astype(int) - wanted).max(axis=1) < 3).sum() > 1000


@pytest.mark.parametrize("line", ["not automobile abc, 96.1%", "W" * 60, "not T-shirt/top, 100.0%", "牛仔裤" * 20])
def test_no_line_runs_into_the_next_picture_s(line: str, tmp_path: Path) -> None:
    gallery.draw(np.zeros((2, 28, 28, 1), np.uint8), [(line,), (line,)], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        drawn = np.asarray(picture.convert("L"))
    under = drawn[gallery.MARGIN + gallery.SIDE + 2 :]
    second = gallery.MARGIN + gallery.SIDE + gallery.GAP
    assert (under[:, second : second + gallery.SIDE] < 200).any()
    assert (under[:, second - 6 : second] > 200).all()
    assert (under[:, -4:] > 200).all()


# What a run keeps


def test_a_run_keeps_samples_of_every_class_and_its_network(
    trained: sl.TrainResult, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(trained.run)
    kept = folder.samples()
    assert kept is not None
    pixels, labels = kept
    assert pixels.shape == (60, 8, 8, 1) and np.bincount(labels).tolist() == [6] * 10
    assert run(["summary", str(trained.run), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    network = folder.read(NetworkSummary)
    assert (network.parameters, network.macs) == (summary["parameters"], summary["macs"])
    assert [part.name for part in network.parts] == [part["name"] for part in summary["parts"]]


@pytest.mark.parametrize("large", [False, True])
def test_a_module_that_cannot_be_described_is_still_trained(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that looks at values can be, but for images so large that they are not computed."""
    monkeypatch.setattr("sightline.models.summary.COMPUTED_PIXELS", 63 if large else 64)

    class Looks(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # What is asked here has no answer on a tensor without values.
            return self.dense(x.flatten(1)) * (1 if float(x.sum()) < 1e9 else 2)

    found = sl.train("digits", model=Looks(), steps=2, threads=1, runs=tmp_path, quiet=True)
    network = RunFolder(found.run).read(NetworkSummary)
    assert network.name == "Looks" and network.parameters == 650
    assert [part.name for part in network.parts] == ([] if large else ["dense"])


# Where a network looked


def test_grad_cam_of_mean_pooling_and_one_layer_is_the_class_activation_map() -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    from sightline.classifier import Classifier
    from sightline.classifier.torch_backend import TorchBackend
    from sightline.data.preprocessing import unit_preprocessing
    from sightline.evaluation.grad_cam import grad_cam

    settings = ResNetSettings(stage_depths=(1, 1), stage_widths=(8, 16))
    network = build_model(settings, channels=1, image_size=(16, 16), num_classes=3, seed=0).eval()
    preprocessing = unit_preprocessing((16, 16, 1))
    classifier = Classifier(
        TorchBackend(network, preprocessing, torch.device("cpu"), trains=False),
        preprocessing,
        ("a", "b", "c"),
        settings,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), np.uint8)
    classes = np.array([0, 1, 2, 0])
    with torch.no_grad():
        maps = network.forward_features(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        dense = network.head[-1]
        assert isinstance(dense, torch.nn.Linear)
        # Zhou et al. (arXiv 1512.04150): the feature maps, weighed by the class's row of the dense layer.
        wanted = torch.relu(torch.einsum("nc,nchw->nhw", dense.weight[classes], maps))
        wanted = torch.nn.functional.interpolate(wanted[:, None], (16, 16), mode="bilinear")[:, 0]
        wanted = wanted / wanted.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    found = grad_cam(classifier, pixels, classes)
    assert found.shape == (4, 16, 16) and found.max() > 0.99
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_the_command_draws_maps_of_the_worst_mistakes(
    trained: sl.TrainResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("captum", reason="captum is not installed")
    assert run(["test", str(trained.run), "--explain", "3", "--out", str(tmp_path)]) == 0
    assert "explanations" in capsys.readouterr().out
    kept = arrays.load(tmp_path / "explanations.npz", ("rows", "maps", "answers"), "explanations")
    assert kept["maps"].shape == (3, 8, 8) and 0 <= kept["maps"].min() <= kept["maps"].max() <= 1
    mistakes = arrays.load(tmp_path / "mistakes.npz", ("rows",), "mistakes")
    assert kept["rows"].tolist() == mistakes["rows"][:3].tolist()
    with Image.open(tmp_path / "explanations.png") as picture:
        assert picture.width > 6 * gallery.SIDE
    assert run(["test", str(trained.run), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "explanations.npz").exists()  # the answers are the same


def test_maps_that_no_folder_is_written_for_are_refused(
    trained: sl.TrainResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(trained.run / "weights" / "best.safetensors")
    for words in ([file, "--data", "digits"], [str(trained.run), "--steps", "1"]):
        assert run(["test", *words, "--explain", "3"]) == 2
        assert "--explain: there is no folder for what it draws. Add --out DIR." in capsys.readouterr().err


def test_without_captum_it_says_what_to_install(
    trained: sl.TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert run(["test", str(trained.run), "--explain", "3", "--out", str(tmp_path)]) == 2
    assert install_command("explain") in capsys.readouterr().err
