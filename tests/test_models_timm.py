"""Networks of timm as ours: timm's own answers, its files, its names, and the pictures that its weights want."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import sightline as sl
from helpers.folders import make
from helpers.layouts import refused
from sightline.data import ImageSet, fit_preprocessing
from sightline.data.decoder import fit_image
from sightline.errors import SightlineError, UsageError
from sightline.files.sums import SUM_KEY
from sightline.installation import install_command
from sightline.models import Network, build_model, lay_out, summarize
from sightline.models.pretrained import hub, load_pretrained
from sightline.recipes import resolve as resolve_settings
from sightline.recipes.timm_catalog import import_timm, timm_entry
from sightline.settings import TimmSettings, build_settings, model_name

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

# Small ones that timm has for its own tests, and a network of which it counts positions: maps, tokens, channels last.
SMALL = ("test_convnext", "test_vit", "test_mambaout", "test_resnet", "test_efficientnet")


@pytest.fixture(scope="module", autouse=True)
def _timm() -> None:
    import_timm()


def settings_of(name: str, **changes: Any) -> TimmSettings:
    return TimmSettings(architecture=name, **changes)


def build(name: str, *, channels: int = 3, side: int = 96, classes: int = 4, seed: int = 5, **changes: Any) -> Network:
    return build_model(
        settings_of(name, **changes), channels=channels, image_size=(side, side), num_classes=classes, seed=seed
    )


def theirs(name: str, file: Path, seed: int = 0, **flags: Any) -> Any:
    """timm's own model with random tensors, norms' figures too, which are also written to `file`."""
    torch.manual_seed(seed)
    model = import_timm().create_model(name, **flags).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    save_file(model.state_dict(), file)
    return model


def images(count: int = 2, channels: int = 3, side: int = 160) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_timms(name: str, tmp_path: Path) -> None:
    file = tmp_path / "their.safetensors"
    expected = theirs(name, file)(images()).detach()
    network = build(name, side=160, classes=1000).eval()
    report = load_pretrained(network, settings_of(name), str(file))
    assert not report.fresh
    assert report.layout == "timm"
    torch.testing.assert_close(network(images()), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", SMALL)
def test_a_laid_out_network_takes_the_tensors_of_a_built_one(name: str) -> None:
    built = build(name, side=160).eval()
    laid = lay_out(settings_of(name), channels=3, image_size=(160, 160), num_classes=4)
    assert all(tensor.is_meta for tensor in laid.state_dict().values())
    laid.to_empty(device="cpu").eval().load_state_dict(built.state_dict())
    assert torch.equal(laid(images()), built(images()))


def test_tables_that_are_in_no_file_are_computed_again() -> None:
    name = "levit_128s"  # its tables of positions are buffers that no file keeps
    built = build(name, side=224).eval()
    assert len(dict(built.named_buffers())) > len([key for key in built.state_dict() if "running" in key])
    laid = lay_out(settings_of(name), channels=3, image_size=(224, 224), num_classes=4).to_empty(device="cpu").eval()
    laid.load_state_dict(built.state_dict())
    assert torch.equal(laid(images(1, side=224)), built(images(1, side=224)))


def test_the_seed_alone_decides_and_torchs_generator_stays() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, again, other = build("test_convnext"), build("test_convnext"), build("test_convnext", seed=6)
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(one.state_dict()["head.dense.weight"], other.state_dict()["head.dense.weight"])
    changed = [
        key for key, tensor in one.body.state_dict().items() if not torch.equal(tensor, other.body.state_dict()[key])
    ]
    assert len(changed) > 10


def test_a_file_of_other_classes_channels_and_size(tmp_path: Path) -> None:
    file = tmp_path / "their.safetensors"
    model = theirs("test_vit", file)
    network = build("test_vit", channels=1, side=128)
    report = load_pretrained(network, settings_of("test_vit"), str(file))
    assert set(report.fresh) == {"head.dense.weight", "head.dense.bias"}
    assert report.classes == (1000, 4)
    kernel = network.state_dict()["body.timm.network.patch_embed.proj.weight"]
    torch.testing.assert_close(kernel, model.state_dict()["patch_embed.proj.weight"].sum(1, keepdim=True))
    assert network.state_dict()["body.timm.network.pos_embed"].shape == (1, 65, 64)  # timm has resampled it from 101


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "efficientvit_m0"])
def test_a_last_layer_that_is_more_than_a_dense_one_begins_fresh(name: str, tmp_path: Path) -> None:
    file = tmp_path / "their.safetensors"
    theirs(name, file)
    network = build(name, side=224, classes=1000)
    report = load_pretrained(network, settings_of(name), str(file))
    assert set(report.fresh) == {"head.dense.weight", "head.dense.bias"}
    assert any(unused.startswith("head") for unused in report.unused)


def test_a_1x1_convolution_is_a_dense_layer(tmp_path: Path) -> None:
    file = tmp_path / "their.safetensors"
    expected = theirs("dla46_c", file)(images(side=64)).detach()
    network = build("dla46_c", side=64, classes=1000).eval()
    assert not load_pretrained(network, settings_of("dla46_c"), str(file)).fresh
    torch.testing.assert_close(network(images(side=64)), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_files_of_other_networks_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "their.safetensors"
    theirs("test_vit", file)
    line = refused(build("test_convnext"), settings_of("test_convnext"), str(file))
    assert "it lacks stem.0.weight" in line
    assert "(expected the tensors of timm/test_convnext)" in line
    assert len(line) < 400
    torchvisions = tmp_path / "resnet.safetensors"
    theirs("resnet18", torchvisions)
    line = refused(build("test_convnext"), settings_of("test_convnext"), str(torchvisions))
    assert line.endswith('It looks like resnet18. Use model="resnet18".')


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/convnext_tinny", "Did you mean timm/convnext_tiny"),
        ("timm/convnext_tiny.fb_in99k", "timm/convnext_tiny.fb_in22k"),
        ("timm/hf-hub:someone/else", "architecture"),
        ("timm/../../etc", "architecture"),
        ("timm/", "architecture"),
        ("timm", "'timm' is not known"),
    ],
)
def test_names_that_timm_does_not_have(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "download", pytest.fail)
    with pytest.raises(UsageError) as caught:
        resolve_settings("digits", "none", {"model": name})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_preset_and_its_name() -> None:
    settings = build_settings(None, {"model": "timm/test_vit", "drop_path": 0.1, "dropout": 0.2})
    assert settings.model == settings_of("test_vit", drop_path=0.1, dropout=0.2)
    assert model_name(settings.model) == "timm/test_vit"
    network = build("test_vit", side=160, drop_path=0.1, dropout=0.2)
    assert network.head.dropout.p == 0.2  # pyright: ignore[reportAttributeAccessIssue]
    assert network.body.timm.network.blocks[-1].drop_path1.drop_prob == pytest.approx(0.1)  # pyright: ignore
    with pytest.raises(UsageError, match=r"^drop_path: "):
        build("vgg11", side=64, drop_path=0.1)


@pytest.mark.parametrize(("name", "side"), [("test_vit", 100), ("vgg11", 16)])
def test_sides_that_a_network_cannot_take(name: str, side: int) -> None:
    with pytest.raises(UsageError, match=rf"image_size: timm/{name} cannot take {side}x{side} \(expected \d+, which"):
        build(name, side=side)


@pytest.mark.parametrize(
    ("name", "normalize", "crop", "side"),
    [("convnext_tiny.fb_in22k", "imagenet", 0.875, 224), ("vit_tiny_patch16_224", "symmetric", 0.9, 224),
     ("vit_base_patch16_clip_224", "fixed", 0.95, 224), ("resnet10t", "imagenet", 0.875, 176)],
)  # fmt: skip
def test_pictures_follow_the_weights(name: str, normalize: str, crop: float, side: int) -> None:
    data = resolve_settings("digits", "none", {"model": f"timm/{name}", "pretrained": "imagenet", "channels": 3}).data
    known = import_timm().get_pretrained_cfg(name)
    assert (data.image_size, data.normalize, data.interpolation, data.crop_fraction) == (
        side,
        normalize,
        "bicubic",
        crop,
    )
    assert (data.image_size, data.crop_fraction) == (known.input_size[-1], known.crop_pct)
    found = fit_preprocessing(blank(side), data)
    assert (found.mean, found.std) == (known.mean, known.std)


def blank(side: int) -> Any:
    return ImageSet.from_arrays(np.zeros((2, side, side, 3), np.uint8), np.array([0, 1]), ("0", "1"), ("a", "b"))


def test_what_is_named_stands_and_without_weights_nothing_is_followed() -> None:
    flags = {"model": "timm/convnext_tiny", "crop_fraction": 1.0, "image_size": 96, "normalize": "unit"}
    data = resolve_settings("digits", "none", {**flags, "pretrained": "imagenet"}).data
    assert (data.image_size, data.normalize, data.crop_fraction) == (96, "unit", 1.0)
    data = resolve_settings("digits", "none", {"model": "timm/convnext_tiny"}).data
    assert (data.image_size, data.normalize, data.crop_fraction, data.interpolation) == (
        None,
        "dataset",
        1.0,
        "bilinear",
    )


def test_pixels_are_those_of_timms_transform() -> None:
    timm = import_timm()
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    picture = np.asarray(Image.fromarray(picture).resize((360, 240), Image.Resampling.BICUBIC))
    flags = {"model": "timm/convnext_tiny.fb_in22k", "pretrained": "imagenet", "fit": "crop", "channels": 3}
    preprocessing = fit_preprocessing(blank(224), resolve_settings("digits", "none", flags).data)
    ours = fit_image(picture, preprocessing.size, preprocessing.resizing).astype(np.float32) / 255
    config = timm.data.resolve_data_config({}, model=timm.create_model("convnext_tiny.fb_in22k"))
    found = timm.data.create_transform(**config, is_training=False)(Image.fromarray(picture))
    expected = found.permute(1, 2, 0).numpy() * np.array(config["std"]) + np.array(config["mean"])
    assert np.abs(ours - expected).max() <= 1.01 / 255


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("timm")
    folder = make(place / "pets", count=12)
    theirs("test_vit", place / "their.safetensors")
    result = sl.train(
        folder, model="timm/test_vit", pretrained=str(place / "their.safetensors"), runs=place / "runs", quiet=True,
        image_size=64, precision="fp32",
    )  # fmt: skip
    return result.run


def test_a_folder_is_probed_by_default(run: Path) -> None:
    settings = (run / "settings.yaml").read_text()
    assert "head: fitted" in settings
    assert "freeze: backbone" in settings
    assert "architecture: test_vit" in settings
    assert json.loads((run / "network.json").read_text())["parts"]


def test_the_same_answer_from_the_run_its_file_and_onnx(run: Path) -> None:
    pytest.importorskip("onnxruntime")
    exported = sl.export(run)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    answers = [
        sl.load(place).predict(list(pixels)) for place in (run, run / "weights" / "best.safetensors", exported.path)
    ]
    for answer in answers[1:]:
        for one, other in zip(answers[0], answer, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_where_a_transformer_looked(run: Path) -> None:
    pytest.importorskip("captum")
    assert sl.test(run, explain=2).report.accuracy >= 0
    maps = np.load(run / "test" / "explanations.npz")
    found = next(maps[name] for name in maps.files if maps[name].ndim == 3)
    assert found.shape[1:] == (64, 64)
    assert found.max() == pytest.approx(1)
    assert "Norm" in type(sl.load(run).backend.module.body.timm.network.blocks[-1].norm1).__name__  # pyright: ignore


def test_maps_of_features_are_those_of_grad_cam_by_hand(tmp_path: Path) -> None:
    network = build("test_mambaout", side=160).eval()
    x = images(1)
    with network.explained() as seen:
        kept: list[torch.Tensor] = []
        hook: Callable[..., None] = lambda _module, _inputs, output: kept.append(output)  # noqa: E731
        handle = seen.register_forward_hook(hook)
        logits = network(x)
        handle.remove()
    assert kept[0].shape == (1, 64, 5, 5)
    (gradient,) = torch.autograd.grad(logits[0, 1], kept[0])
    assert gradient.abs().sum() > 0


def test_its_parts_are_listed_and_add_up() -> None:
    network = build("test_vit", side=160)
    summary = summarize(network, 3, (160, 160))
    assert sum(part.parameters for part in summary.parts) == summary.parameters
    own = next(part for part in summary.parts if part.name == "body.timm.network")
    assert own.output == (1, 101, 64)
    assert any(part.name.endswith("blocks.5") for part in summary.parts)
    timms = import_timm().create_model("test_vit", num_classes=4)
    assert summary.parameters == sum(parameter.numel() for parameter in timms.parameters())


def test_a_network_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "download", pytest.fail)
    name = next(name for name in import_timm().list_models() if timm_entry(name).repository is None)
    line = refused(build("test_vit", side=160), settings_of(name), "imagenet")
    assert line == f'pretrained="imagenet": timm has no weights of timm/{name} (expected a file)'


def test_weights_by_name_come_from_timms_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs("test_vit", tmp_path / "model.safetensors")
    asked: list[Any] = []

    def download(*wanted: Any) -> Path:
        asked.append(wanted)
        return tmp_path / "model.safetensors"

    monkeypatch.setattr(hub, "download", download)
    report = load_pretrained(build("test_vit", side=160), settings_of("test_vit"), "imagenet")
    assert asked[0][:2] == ("timm/test_vit.r160_in1k", "model.safetensors")
    assert asked[0][2] == pytest.approx((tmp_path / "model.safetensors").stat().st_size, rel=0.02)
    assert report.file == "timm/test_vit.r160_in1k"


def test_a_model_file_where_timm_is_missing_says_what_to_install(run: Path) -> None:
    code = "import sys; sys.modules['timm'] = None\nimport sightline as sl\nsl.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "timm, which has this network, is not installed" in last
    assert last.endswith(f"Run {install_command('timm')} to install it.")


def test_a_header_cannot_name_what_is_no_network(run: Path, tmp_path: Path) -> None:
    content = (run / "weights" / "best.safetensors").read_bytes()
    forged = tmp_path / "forged.safetensors"
    assert b"test_vit" in content
    content = content.replace(SUM_KEY.encode(), SUM_KEY[::-1].encode())
    forged.write_bytes(content.replace(b'\\"architecture\\":\\"test_vit\\"', b'\\"architecture\\":\\"test_vot\\"'))
    assert forged.read_bytes() != content
    with pytest.raises(SightlineError, match="cannot be built"):
        sl.load(forged)
