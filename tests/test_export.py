"""Exported files: the classifier's answers, the same bytes each time, and nothing where the answers differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import sightline
from helpers.sums import unlisted
from sightline.classifier import model_file
from sightline.classifier import onnx_export as exporting
from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import Preprocessing
from sightline.errors import FileError, NumericError, UsageError
from sightline.models import build_model
from sightline.settings import build_settings

NAMES = ("cat", "dog", "emu")
FAMILIES = {
    "cnn": {"model": "cnn", "conv_widths": (4,), "hidden": 0, "batch_norm": True},
    "resnet_v2_per_image": {"model": "resnet8v2", "stage_widths": (4, 6, 8)},
    "sprint": {"model": "sprint", "stage_widths": (6,), "stem_kernel": 2},
}


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request, tmp_path_factory):
    """A model file of seeded weights, and what exporting it gave."""
    path = tmp_path_factory.mktemp(request.param) / "model.safetensors"
    save_seeded(path, request.param, temperature=1.7 if request.param == "sprint" else 1.0)
    return path, sightline.export(path, images=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on the digits."""
    settings = {"conv_widths": (4,), "hidden": 0, "epochs": 1, "batch_size": 256, "seed": 0}
    return sightline.train(
        "digits", model="cnn", recipe="none", runs=tmp_path_factory.mktemp("runs"), quiet=True, **settings
    ).run


def save_seeded(path: Path, family: str, *, temperature: float = 1.0, seed: int = 0) -> None:
    per_image = "per_image" in family
    settings = build_settings(None, FAMILIES[family]).model
    network = build_model(settings, channels=3, image_size=(8, 8), num_classes=len(NAMES), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as initialised it would hide a norm that is left out
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2),
                (module.weight.data, -1, 2),
                (module.bias.data, -0.5, 0.5),
            ):
                values.uniform_(low, high, generator=generator)
    preprocessing = Preprocessing(
        height=8,
        width=8,
        channels=3,
        per_image=per_image,
        **({"mean": (0.0,) * 3, "std": (1.0,) * 3} if per_image else {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}),
    )
    spread(network, InputStep(preprocessing)(torch.from_numpy(exporting.random_pictures(32, (8, 8, 3)))))
    header = model_file.ModelHeader(
        model=settings, class_names=NAMES, preprocessing=preprocessing, temperature=temperature
    )
    model_file.save(path, network.state_dict(), header)


@torch.no_grad()
def spread(network: nn.Module, images: torch.Tensor) -> None:
    """Let logits have mean 0 and deviation 3 over the images, as a trained network's answers do."""
    network.eval()
    features = network.head[:-1](network.body(images))
    centre, weight = features.mean(0), network.head.dense.weight
    weight -= torch.outer(weight @ centre, centre) / centre.dot(centre)
    weight *= 3 / network(images).std(dim=0).mean()


def test_the_same_answers_for_pictures_it_was_not_compared_on(exported):
    path, result = exported
    pixels = np.random.default_rng(9).integers(0, 256, (33, 8, 8, 3), dtype=np.uint8)
    wanted = sightline.load(path).probabilities(pixels)
    assert wanted.max(axis=1).std() > 0.02, "the network answers everything alike, so that nothing is compared"
    for batch_size in (1, 7, 33):
        found = sightline.load(result.path).probabilities(pixels, batch_size)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_told(exported):
    path, result = exported
    assert result.path == path.with_suffix(".onnx")
    assert result.max_difference <= 1e-5 and result.top1_agreement == 1 and result.accuracy is None
    assert result.images == 40 and "random pictures" in result.images_from
    assert result.bytes == result.path.stat().st_size
    assert json.loads(json.dumps(result.to_dict()))["path"] == str(result.path)


def test_the_file_is_plain_onnx(exported):
    path, result = exported
    model = onnx.load(result.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", result.opset)]
    assert len(model.functions) == 0
    (taken,), (given,) = model.graph.input, model.graph.output
    assert (taken.name, given.name) == ("images", "probabilities")
    sides = taken.type.tensor_type.shape.dim
    assert [side.dim_value for side in sides] == [0, 8, 8, 3] and sides[0].dim_param
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    entry, own_sum = model.metadata_props
    assert (entry.key, own_sum.key) == ("sightline", "sightline_sha256")
    told = json.loads(entry.value)
    assert told["class_names"] == list(NAMES) and told["preprocessing"]["height"] == 8
    assert told["temperature"] == sightline.load(path).temperature
    assert told["sightline_version"] == sightline.__version__
    loaded = sightline.load(result.path)
    assert loaded.model == sightline.load(path).model and loaded.temperature == told["temperature"]


def test_no_path_and_no_trace_of_the_exporter(exported):
    path, result = exported
    content = result.path.read_bytes()
    for word in (str(path.parent), str(Path(exporting.__file__).parent), "stack_trace", "pkg.", "pytorch"):
        assert word.encode() not in content


def test_the_run_tells_the_same_accuracy_and_another_process_writes_the_same_bytes(run):
    result = sightline.export(run)
    metrics = json.loads((run / "test" / "metrics.json").read_text())
    assert result.images == metrics["n"] and "test images" in result.images_from
    assert result.accuracy == pytest.approx(metrics["accuracy"])
    assert result.path == run / "model.onnx"
    other = run.parent / "other name.onnx"
    command = [sys.executable, "-m", "sightline", "export", str(run / "weights" / "best.safetensors")]
    done = subprocess.run(
        [*command, "--out", str(other), "--images", "3", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "the exporter's chatter"
    told = json.loads(done.stdout)
    assert told["images"] == 3 and told["accuracy"] is None and told["opset"] == result.opset
    assert other.read_bytes() == result.path.read_bytes()


def test_nothing_is_overwritten_unasked(tmp_path, monkeypatch):
    path, out = tmp_path / "a.safetensors", tmp_path / "kept.onnx"
    save_seeded(path, "cnn")
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"exists.*force=True"):
        sightline.export(path, out=out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(UsageError, match="is a folder"):
        sightline.export(path, out=tmp_path, force=True)


@pytest.fixture
def other_weights(tmp_path, monkeypatch, exported):
    """A model file of other weights than those that the exporter is made to export."""
    path, result = exported
    if "cnn" not in path.parent.name:
        pytest.skip("one family is enough")
    save_seeded(tmp_path / "other.safetensors", "cnn", seed=1)
    content = result.path.read_bytes()
    monkeypatch.setattr(exporting, "to_onnx", lambda classifier: content)
    return tmp_path / "other.safetensors"


def test_nothing_is_published_where_answers_differ(other_weights):
    (other_weights.parent / "other.onnx").write_bytes(b"mine")
    with pytest.raises(NumericError, match="nothing was written") as caught:
        sightline.export(other_weights, force=True)
    assert caught.value.exit_code == 5
    assert sorted(path.name for path in other_weights.parent.iterdir()) == ["other.onnx", "other.safetensors"]
    assert (other_weights.parent / "other.onnx").read_bytes() == b"mine"


class Answering:
    """Answers what it is told to, whatever the pictures: the two sides of a comparison."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows = np.array(rows, np.float32)

    def probabilities(self, pixels):
        return self.rows[pixels[:, 0, 0, 0]]


@pytest.mark.parametrize(
    ("theirs", "difference", "agreement"),
    [
        ([[0.6, 0.4], [0.3, 0.7]], 0.0, 1.0),
        ([[0.6, 0.4], [0.7, 0.3]], 0.4, 0.5),
        ([[0.59, 0.41], [0.3, 0.7]], 0.01, 1.0),
        ([[float("nan"), 0.4], [0.3, 0.7]], float("inf"), 1.0),
    ],
)
def test_how_two_are_compared(theirs, difference, agreement):
    pixels = np.array([0, 1], np.uint8).reshape(2, 1, 1, 1)
    found = exporting.compare(Answering(*theirs), Answering([0.6, 0.4], [0.3, 0.7]), pixels)  # pyright: ignore
    assert found.max_difference == pytest.approx(difference, abs=1e-6)
    assert found.top1_agreement == agreement or np.isnan(theirs[0][0])


def test_an_undecided_answer_may_turn():
    pixels = np.zeros((1, 1, 1, 1), np.uint8)
    found = exporting.compare(Answering([0.49999, 0.50001]), Answering([0.50001, 0.49999]), pixels)  # pyright: ignore
    assert found.top1_agreement == 1
    assert exporting.compare(Answering([0.49, 0.51]), Answering([0.51, 0.49]), pixels).top1_agreement == 0  # pyright: ignore


def test_without_the_runs_data_random_pictures_are_compared(run, tmp_path, monkeypatch):
    content = exporting_of(run)
    monkeypatch.setattr(exporting, "to_onnx", lambda classifier: content)
    elsewhere = unlisted(shutil.copytree(run, tmp_path / "elsewhere"))
    settings = elsewhere / "settings.yaml"
    settings.write_text(settings.read_text().replace("name: digits", "name: /nowhere/at/all"))
    result = sightline.export(elsewhere, out=tmp_path / "a.onnx", images=5)
    assert result.images == 5 and result.accuracy is None
    assert result.images_from.startswith("random pictures, since the run's test images are not at hand")


def exporting_of(run: Path) -> bytes:
    if not (run / "model.onnx").exists():
        sightline.export(run, images=1)
    return (run / "model.onnx").read_bytes()


def test_random_pictures_are_the_same_each_time():
    first, second = (exporting.random_pictures(6, (9, 7, 3)) for _ in range(2))
    assert first.shape == (6, 9, 7, 3) and first.dtype == np.uint8
    assert (first == second).all() and len({image.tobytes() for image in first}) == 6


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(64, 3)

    def forward(self, x):
        return self.dense(x.flatten(1))


def test_a_module_of_ones_own(tmp_path):
    torch.manual_seed(0)
    module = Own()
    preprocessing = Preprocessing(height=8, width=8, channels=1)
    header = model_file.ModelHeader(module="Own", class_names=NAMES, preprocessing=preprocessing)
    path = tmp_path / "own.safetensors"
    model_file.save(path, module.state_dict(), header)
    with pytest.raises(FileError, match="your own class"):
        sightline.export(path)
    result = sightline.export(path, module=Own(), images=4)
    pixels = exporting.random_pictures(5, (8, 8, 1))
    wanted = torch.softmax(module(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255), 1).detach().numpy()
    np.testing.assert_allclose(sightline.load(result.path).probabilities(pixels), wanted, atol=1e-6)


def test_what_is_asked_for_wrongly(exported, tmp_path):
    path, result = exported
    with pytest.raises(UsageError, match="an ONNX file already"):
        sightline.export(result.path)
    with pytest.raises(UsageError, match="images: 0"):
        sightline.export(path, out=tmp_path / "a.onnx", images=0)
    with pytest.raises(FileError, match="no such run folder or model file"):
        sightline.export(tmp_path / "none")
    loaded = sightline.load(result.path)
    with pytest.raises(UsageError, match="no torch network"):
        exporting.to_onnx(replace(loaded))


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_not_installed(package, tmp_path, monkeypatch):
    save_seeded(tmp_path / "a.safetensors", "cnn")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"{package}, which writes ONNX files, is not installed.*\[export\]"):
        sightline.export(tmp_path / "a.safetensors")
