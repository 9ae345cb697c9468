"""Model files and the Classifier: refused files, the same bytes, the same answer from every way in."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import nn

from sightline.classifier import Classifier, load, model_file, torch_backend
from sightline.classifier.input_step import InputStep
from sightline.classifier.torch_backend import TorchBackend
from sightline.data.preprocessing import Preprocessing
from sightline.errors import FileError, ImageError, UsageError
from sightline.models import build_model, lay_out
from sightline.settings import ResNetSettings
from sightline.settings.model import MODEL_PRESETS, ModelSettings

SETTINGS = ResNetSettings(stem="small", stage_depths=(1, 1), stage_widths=(8, 16))
NAMES = ("zero", "one", "two")
GRAY = Preprocessing(height=12, width=12, channels=1, mean=(0.3,), std=(0.4,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    module = build_model(SETTINGS, channels=1, image_size=(12, 12), num_classes=3, seed=5)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for tensor in module.state_dict().values():
            if tensor.ndim >= 2:
                tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.2)
    header = model_file.ModelHeader(model=SETTINGS, class_names=NAMES, preprocessing=GRAY)
    model_file.save(tmp_path / "model.safetensors", module.state_dict(), header)
    return tmp_path / "model.safetensors"


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), np.uint8)


def test_the_file_needs_nothing_but_itself(path: Path, pixels: np.ndarray) -> None:
    classifier = load(path)
    assert classifier.class_names == NAMES
    assert classifier.preprocessing == GRAY
    probabilities = classifier.probabilities(pixels)
    assert probabilities.shape == (40, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert probabilities.std(0).max() > 1e-3


def test_equal_weights_are_equal_bytes_without_a_path(path: Path, tmp_path: Path) -> None:
    tensors, header = model_file.load(path)
    shuffled = dict(
        reversed([(k, v.to(memory_format=torch.channels_last) if v.ndim == 4 else v) for k, v in tensors.items()])
    )
    model_file.save(tmp_path / "other.safetensors", shuffled, header)
    content = path.read_bytes()
    assert (tmp_path / "other.safetensors").read_bytes() == content
    assert str(tmp_path).encode() not in content


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_the_batch_size_does_not_change_the_answer(path: Path, pixels: np.ndarray, size: int) -> None:
    classifier = load(path)
    whole = classifier.probabilities(pixels)
    np.testing.assert_allclose(classifier.probabilities(pixels, size), whole, atol=1e-6)


def test_a_batch_has_a_picture_at_least(path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="batch_size: 0 found"):
        load(path).predict(list(pixels), batch_size=0)


def test_every_way_in_gives_the_same_answer(path: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    classifier = load(path)
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "one.png")
    encoded = (tmp_path / "one.png").read_bytes()
    sources = [tmp_path / "one.png", str(tmp_path / "one.png"), encoded, pixels[0], pixels[0, :, :, 0]]
    answers = [list(answer.probabilities.values()) for answer in classifier.predict(sources)]
    expected = classifier.probabilities(pixels[:1])[0]
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-6)
    prediction = classifier.predict(encoded)[0]
    assert prediction.label == NAMES[int(expected.argmax())]
    assert prediction.top(2)[0] == (prediction.label, prediction.probability)
    assert json.dumps(prediction.to_dict())


def test_all_unreadable_pictures_are_listed_or_skipped(path: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    classifier = load(path)
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "good.png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"not a picture")
    sources = [tmp_path / name for name in ("a.png", "good.png", "b.png")]
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(
        ImageError, match=r"^2 pictures: .*a\.png \(it is no picture.*\), .*b\.png \(it is empty\)"
    ) as error:
        classifier.predict(sources)
    assert "good.png" not in str(error.value)
    bad: list[str] = []
    answers = classifier.predict(sources, skip_bad=True, on_bad=lambda error: bad.append(error.found))
    assert [answer.source for answer in answers] == [str(tmp_path / "good.png")]
    assert len(bad) == 2 and bad[1] == "it is empty"


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_wrong_arrays_are_refused(path: Path, array: np.ndarray) -> None:
    with pytest.raises(UsageError, match="uint8"):
        load(path).predict(array)


def _torch_save() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a": 1}), "pickle"),
        (_torch_save(), "pickle"),
        (b"", "0 bytes"),
        (b"hello, world, this is no model", "damaged"),
        (model_file.pack({"a": torch.zeros(2)}, {}), "it has no Sightline header"),
        (model_file.pack({"a": torch.zeros(2)}, {"sightline": '{"format_version": 99}'}), "format version is 99"),
        (model_file.pack({"a": torch.zeros(2)}, {"sightline": "{"}), "header is damaged"),
        (model_file.pack({"a": torch.zeros(2)}, {"sightline": '{"format_version": 1}'}), "header is damaged"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        load(path)
    assert error.value.exit_code == 4


def test_every_truncation_is_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, 64), *np.linspace(64, len(content) - 1, 40, dtype=int)]:
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(content[:length])
        with pytest.raises(FileError):
            load(cut)


def test_tensors_that_do_not_fit_are_named(path: Path, tmp_path: Path) -> None:
    tensors, header = model_file.load(path)
    assert any(name.endswith("num_batches_tracked") for name in tensors)  # torch takes a network without it
    for name in tensors:
        model_file.save(tmp_path / "less.safetensors", {k: v for k, v in tensors.items() if k != name}, header)
        with pytest.raises(FileError, match=rf'Missing key\(s\).*"{re.escape(name)}"'):
            load(tmp_path / "less.safetensors")
        other = {k: v.flatten()[:1].clone().expand(3, 1) if k == name else v for k, v in tensors.items()}
        model_file.save(tmp_path / "other.safetensors", other, header)
        with pytest.raises(FileError, match=re.escape(name)):
            load(tmp_path / "other.safetensors")
    model_file.save(tmp_path / "more.safetensors", {**tensors, "strange": torch.zeros(1)}, header)
    with pytest.raises(FileError, match="strange"):
        load(tmp_path / "more.safetensors")


def _described(**model: Any) -> bytes:
    """A file of two tensors whose header describes this network."""
    size = {"height": 8, "width": 8, "channels": 1, **model.pop("size", {})}
    header = {"format_version": 1, "model": model, "class_names": NAMES, "preprocessing": size}
    return model_file.pack({"a": torch.zeros(1), "b": torch.zeros(1)}, {"sightline": json.dumps(header)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_described(family="cnn", hidden=10**13), "its tensors do not fit"),
        (_described(family="cnn", hidden=10**18), "larger than any memory"),
        (_described(family="cnn", hidden=10**40), "its header is damaged"),
        (_described(family="alexnet", form="small", hidden=10**6), "its tensors do not fit"),
        (_described(family="googlenet", size={"height": 10**15, "width": 10**15}), "it takes images of 10{15} x"),
        (_described(family="resnet", stage_widths=[10**12], stage_depths=[1]), "larger than any memory"),
        (_described(family="resnet", stage_widths=[1], stage_depths=[10**12]), "more layers than its 2 tensors"),
        (_described(family="resnet_pad", block_widths=[16] * 3), "more layers than its 2 tensors"),
        (_described(family="cnn", conv_widths=[1] * 3), "more layers than its 2 tensors"),
        (_described(family="sprint", stage_widths=[1] * 3), "more layers than its 2 tensors"),
        (
            _described(family="cnn", size={"height": 2, "width": 2}),
            r"built: 2x2 is too small .* \(expected at least 4x4\)",
        ),
        (
            _described(family="resnet", stage_widths=[8, 4], stage_depths=[1, 1], shortcut="pool_pad"),
            "built: a stage goes from 8 to 4 channels, and pool_pad can only add channels$",
        ),
    ],
)
def test_a_header_that_the_tensors_do_not_bear_out(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_args: Any, **_options: Any) -> None:
        raise AssertionError("memory was taken")

    monkeypatch.setattr(nn.Module, "to_empty", allocate)
    (tmp_path / "small.safetensors").write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        load(tmp_path / "small.safetensors")
    assert error.value.exit_code == 4
    assert "--" not in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_a_file_holds_every_tensor_of_its_network(name: str) -> None:
    """Loading draws no initial values, so that what is not in the file would be whatever was in memory."""
    settings = TypeAdapter(ModelSettings).validate_python(dict(MODEL_PRESETS[name]))
    network = lay_out(settings, channels=3, image_size=(64, 64), num_classes=2)
    held = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    assert held == set(network.state_dict())
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert torch_backend._blocks(settings) <= len(held)


def test_an_own_module_needs_its_class(tmp_path: Path, pixels: np.ndarray) -> None:
    torch.manual_seed(0)
    own = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    header = model_file.ModelHeader(module="Own", class_names=NAMES, preprocessing=GRAY)
    model_file.save(tmp_path / "own.safetensors", own.state_dict(), header)
    with pytest.raises(FileError, match="Own"):
        load(tmp_path / "own.safetensors")
    other = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    found = load(tmp_path / "own.safetensors", module=other).probabilities(pixels)
    expected = Classifier(TorchBackend(own, GRAY, torch.device("cpu")), GRAY, NAMES).probabilities(pixels)
    assert (found == expected).all()


def test_the_input_step_is_the_formula() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
    plain = Preprocessing(height=4, width=6, channels=3, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    found = InputStep(plain)(torch.from_numpy(pixels)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, (pixels / 255 - plain.mean) / plain.std, atol=1e-6)
    each = Preprocessing(height=4, width=6, channels=3, mean=(0, 0, 0), std=(1, 1, 1), per_image=True)
    pixels[0] = 7
    found = InputStep(each)(torch.from_numpy(pixels)).permute(0, 2, 3, 1).numpy()
    scaled = pixels / 255
    deviation = np.maximum(scaled.std((1, 2, 3), keepdims=True), 72**-0.5)
    np.testing.assert_allclose(found, (scaled - scaled.mean((1, 2, 3), keepdims=True)) / deviation, atol=1e-5)


def test_mode_of_a_training_network_is_put_back(pixels: np.ndarray) -> None:
    module = build_model(SETTINGS, channels=1, image_size=(12, 12), num_classes=3, seed=5).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    TorchBackend(module, GRAY, torch.device("cpu")).probabilities(pixels)
    assert module.training
    assert all((before[name] == value).all() for name, value in module.state_dict().items())
