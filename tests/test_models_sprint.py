"""The family sprint: whitening against scikit-learn's, the identity it starts as, and its life in a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.decomposition import PCA

import sightline as sl
from sightline.classifier import model_file
from sightline.errors import FileError, UsageError
from sightline.models import build_model, whiten
from sightline.models.sprint import Stage, Whitening
from sightline.settings import SprintSettings

SMALL = SprintSettings(stage_widths=(16, 24))


def smooth_images(count: int, channels: int) -> torch.Tensor:
    """Images whose neighbouring pixels are alike, as in pictures."""
    noise = torch.randn(count, channels, 14, 14, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 3, stride=1) * 2 + 0.3


@pytest.mark.parametrize(("channels", "kernel"), [(3, 2), (1, 3)])
def test_the_filters_are_the_whitened_principal_components(channels: int, kernel: int) -> None:
    images = smooth_images(60, channels)
    stem = Whitening(channels, kernel, 1)
    stem.reset_parameters()
    stem.fit(images, 0.0)
    patches = torch.nn.functional.unfold(images, kernel).transpose(1, 2).reshape(-1, channels * kernel**2)
    reference = PCA(whiten=True).fit(patches.double().numpy())
    expected = reference.components_ / np.sqrt(reference.explained_variance_)[:, None]
    half = len(stem.filters) // 2
    found = stem.filters[:half].flatten(1).double().numpy()
    signs = np.sign((found * expected).sum(1, keepdims=True))
    np.testing.assert_allclose(found, signs * expected, rtol=2e-4, atol=2e-5)
    assert torch.equal(stem.filters[half:], -stem.filters[:half])
    maps = stem(images)[:, :half].transpose(0, 1).flatten(1).double()
    np.testing.assert_allclose(maps.cov().detach().numpy(), np.eye(half), atol=1e-4)


def test_flat_images_give_finite_filters() -> None:
    network = build_model(SMALL, channels=1, image_size=(14, 14), num_classes=3, seed=0)
    assert whiten(network, torch.full((5, 1, 14, 14), 0.5), 5e-4)
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_filters_are_neither_trained_nor_forgotten() -> None:
    network = build_model(SMALL, channels=1, image_size=(14, 14), num_classes=3, seed=0)
    assert "body.stem.layer.filters" in network.state_dict()
    assert "body.stem.layer.filters" not in dict(network.named_parameters())
    convolution = build_model(SMALL.model_copy(update={"stem": "conv"}), channels=1, image_size=(14, 14), num_classes=3)
    assert not whiten(convolution, torch.rand(5, 1, 14, 14), 5e-4)
    assert convolution.body(torch.rand(2, 1, 14, 14)).shape == network.body(torch.rand(2, 1, 14, 14)).shape


def test_convolutions_start_as_the_identity() -> None:
    network = build_model(SMALL, channels=3, image_size=(14, 14), num_classes=3, seed=0)
    stages = [part for part in network.modules() if isinstance(part, Stage)]
    assert len(stages) == 2
    for stage in stages:
        for conv in stage.convs:
            entering, leaving = conv.weight.shape[1], conv.weight.shape[0]
            passed = min(entering, leaving)
            maps = torch.rand(2, entering, 6, 6)
            assert torch.equal(conv(maps)[:, :passed], maps[:, :passed])
    plain = build_model(
        SMALL.model_copy(update={"identity_start": False}), channels=3, image_size=(14, 14), num_classes=3
    )
    assert plain.state_dict()["body.stage1.convs.0.weight"][0].abs().gt(0).all()


def test_parameters_of_the_preset() -> None:
    """Counted by hand for three channels and ten classes: biases of the stem, six convolutions, norms, the head."""
    network = build_model(SprintSettings(), channels=3, image_size=(32, 32), num_classes=10)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(p.numel() for p in network.parameters()) == 24 + convolutions + 2 * (2 * 64 + 4 * 256) + 2560


@pytest.mark.parametrize(("stride", "least"), [(1, 5), (2, 8)])
def test_the_least_size(stride: int, least: int) -> None:
    settings = SMALL.model_copy(update={"stem_stride": stride})
    network = build_model(settings, channels=1, image_size=(least, least + 3), num_classes=3)
    assert network.eval()(torch.rand(2, 1, least, least + 3)).shape == (2, 3)
    with pytest.raises(UsageError, match=f"{least}x{least}"):
        build_model(settings, channels=1, image_size=(least - 1, 20), num_classes=3)


def test_the_residual_adds_the_first_convolutions_output() -> None:
    settings = SMALL.model_copy(update={"residual": True, "activation": "relu"})
    stage = build_model(settings, channels=1, image_size=(14, 14), num_classes=3).body.stage1.eval()
    with torch.no_grad():
        for norm in (stage.norms[1],):
            norm.reset_parameters()
            norm.weight.zero_()
        maps = torch.rand(2, 8, 6, 6)
        first = torch.relu(stage.norms[0](torch.nn.functional.max_pool2d(stage.convs[0](maps), 2)))
        torch.testing.assert_close(stage(maps), first)


RUN: dict[str, Any] = {
    "model": "sprint", "stage_widths": (16, 24), "epochs": 2, "batch_size": 64, "lr": 0.1, "precision": "fp32",
    "threads": 1, "quiet": True, "recipe": "none", "shift": 0, "flip": "none",
}  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights" / "last.safetensors")


def start_over(run: Path) -> None:
    """Bring a run back to where it had no checkpoint yet."""
    shutil.rmtree(run / "checkpoints")
    for name in ("results.csv", "steps.csv"):
        (run / name).unlink(missing_ok=True)
    (run / "weights" / "last.safetensors").unlink()


def test_a_run_learns_and_goes_on_from_nothing_with_the_same_stem(tmp_path: Path) -> None:
    result = sl.train("digits", runs=tmp_path, **RUN)
    assert result.test_accuracy is not None and result.test_accuracy > 0.6
    wanted = weights(result.run)
    assert wanted["body.stem.layer.filters"].unique().numel() > 10
    start_over(result.run)
    sl.resume(result.run, quiet=True)
    again = weights(result.run)
    assert all(torch.equal(wanted[name], again[name]) for name in wanted)


def test_a_run_from_a_file_that_never_had_a_checkpoint_begins_from_it_again(tmp_path: Path) -> None:
    first = sl.train("digits", runs=tmp_path, **RUN)
    source = tmp_path / "weights.safetensors"
    shutil.copy(first.run / "weights" / "last.safetensors", source)
    result = sl.train("digits", runs=tmp_path, **{**RUN, "pretrained": str(source)})
    wanted = weights(result.run)
    start_over(result.run)
    sl.resume(result.run, quiet=True)
    assert all(torch.equal(tensor, weights(result.run)[name]) for name, tensor in wanted.items())
    start_over(result.run)
    tensors, header = model_file.load(source)
    model_file.save(source, {name: tensor + 1 for name, tensor in tensors.items()}, header)
    with pytest.raises(FileError, match="has changed"):
        sl.resume(result.run, quiet=True)
