"""Reading torchvision's layouts: what goes where, and what stays fresh."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from helpers.layouts import (
    BLOCKS,
    TINY,
    alexnet_layout,
    build,
    googlenet_layout,
    own_file,
    parameters,
    preset,
    refused,
    resnet_layout,
    state_dict,
    tiny_layout,
    written,
)
from sightline.files.json_records import to_json
from sightline.models import build_model
from sightline.models.pretrained import load_pretrained
from sightline.runs.folder import RunFolder
from sightline.settings import Settings


def test_the_layouts_of_this_file_are_the_published_ones():
    by_depth = {depth: resnet_layout(blocks, bottleneck=depth >= 50) for depth, blocks in BLOCKS.items()}
    assert {depth: parameters(layout) for depth, layout in by_depth.items()} == {
        18: 11_689_512,
        34: 21_797_672,
        50: 25_557_032,
        101: 44_549_160,
        152: 60_192_808,
    }
    assert (len(by_depth[18]), len(by_depth[50])) == (122, 320)
    assert (len(alexnet_layout()), parameters(alexnet_layout())) == (16, 61_100_840)
    assert parameters(googlenet_layout()) == 13_004_888
    assert parameters(googlenet_layout(auxiliary=False)) == 6_624_904


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_of_the_published_layout(depth, tmp_path):
    tensors = state_dict(resnet_layout(BLOCKS[depth], bottleneck=depth == 50))
    path = tmp_path / "weights.pth"
    settings = preset(f"resnet{depth}")
    network = build(settings, classes=1000)
    report = load_pretrained(network, settings, written(path, tensors))
    state = network.state_dict()
    assert len(report.loaded) == len(state) == len(tensors)
    assert (report.fresh, report.unused, report.classes, report.channels) == ((), (), (1000, 1000), (3, 3))
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    pairs = {
        "body.stem.conv.weight": "conv1.weight",
        "body.stem.norm.running_var": "bn1.running_var",
        "body.stage1.block1.conv1.weight": "layer1.0.conv1.weight",
        "body.stage2.block1.shortcut.conv.weight": "layer2.0.downsample.0.weight",
        "body.stage2.block1.shortcut.norm.running_mean": "layer2.0.downsample.1.running_mean",
        "body.stage4.block2.conv2.weight": "layer4.1.conv2.weight",
        "body.stage4.block2.norm2.bias": "layer4.1.bn2.bias",
        "body.stage4.block2.norm2.num_batches_tracked": "layer4.1.bn2.num_batches_tracked",
        "head.dense.bias": "fc.bias",
    }
    if depth == 50:
        pairs["body.stage3.block6.norm3.weight"] = "layer3.5.bn3.weight"
    for ours, theirs in pairs.items():
        assert torch.equal(state[ours], tensors[theirs]), ours
    # Every tensor of the file is somewhere, once.
    sums = sorted(float(tensor.double().sum()) for tensor in state.values())
    assert sums == sorted(float(tensor.double().sum()) for tensor in tensors.values())


def test_alexnet_of_the_published_layout_in_half_precision(tmp_path):
    tensors = {name: tensor.half() for name, tensor in state_dict(alexnet_layout(hidden=64)).items()}
    settings = preset("alexnet", hidden=64)
    network = build(settings)
    before = network.state_dict()["head.dense.weight"].clone()
    save_file(tensors, tmp_path / "alexnet.safetensors")
    report = load_pretrained(network, settings, str(tmp_path / "alexnet.safetensors"))
    state = network.state_dict()
    for number, index in enumerate((0, 3, 6, 8, 10), start=1):
        assert torch.equal(state[f"body.conv{number}.conv.weight"], tensors[f"features.{index}.weight"].float())
        assert torch.equal(state[f"body.conv{number}.conv.bias"], tensors[f"features.{index}.bias"].float())
    for ours, theirs in (("hidden1", 1), ("hidden2", 4)):
        assert torch.equal(state[f"head.{ours}.weight"], tensors[f"classifier.{theirs}.weight"].float())
        assert torch.equal(state[f"head.{ours}.bias"], tensors[f"classifier.{theirs}.bias"].float())
    assert torch.equal(state["head.dense.weight"], before)
    assert report.fresh == ("head.dense.weight", "head.dense.bias")
    assert report.unused == ("classifier.6.weight", "classifier.6.bias")


GOOGLENET_PAIRS = {
    "body.conv1.conv.weight": "conv1.conv.weight",
    "body.conv3.norm.running_var": "conv3.bn.running_var",
    "body.inception3a.branch_1x1.conv.weight": "inception3a.branch1.conv.weight",
    "body.inception3a.branch_1x1.norm.bias": "inception3a.branch1.bn.bias",
    "body.inception4b.branch_3x3.reduce.conv.weight": "inception4b.branch2.0.conv.weight",
    "body.inception4b.branch_3x3.conv.norm.running_mean": "inception4b.branch2.1.bn.running_mean",
    "body.inception4e.branch_wide.reduce.norm.weight": "inception4e.branch3.0.bn.weight",
    "body.inception4e.branch_wide.conv.conv.weight": "inception4e.branch3.1.conv.weight",
    "body.inception5b.branch_pool.project.conv.weight": "inception5b.branch4.1.conv.weight",
    "head.dense.weight": "fc.weight",
}
AUXILIARY_PAIRS = {
    "auxiliary.inception4a.conv.conv.weight": "aux1.conv.conv.weight",
    "auxiliary.inception4a.conv.norm.bias": "aux1.conv.bn.bias",
    "auxiliary.inception4a.hidden.weight": "aux1.fc1.weight",
    "auxiliary.inception4d.hidden.bias": "aux2.fc1.bias",
    "auxiliary.inception4d.dense.weight": "aux2.fc2.weight",
}


@pytest.mark.parametrize(("in_file", "in_network"), [(True, True), (True, False), (False, True)])
def test_googlenet_with_and_without_auxiliary_heads(in_file, in_network, tmp_path):
    tensors = state_dict(googlenet_layout(auxiliary=in_file))
    settings = preset("googlenet-bn", auxiliary=in_network)
    network = build(settings, classes=1000)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_pretrained(network, settings, written(tmp_path / "googlenet.pth", tensors))
    state = network.state_dict()
    for ours, theirs in {**GOOGLENET_PAIRS, **(AUXILIARY_PAIRS if in_file and in_network else {})}.items():
        assert torch.equal(state[ours], tensors[theirs]), ours
    if in_network and not in_file:
        assert set(AUXILIARY_PAIRS) <= set(report.fresh)
        assert all(name.startswith("auxiliary.") for name in report.fresh)
        assert all(torch.equal(state[name], before[name]) for name in report.fresh)
        assert "auxiliary heads start fresh" in report.line()
    else:
        assert report.fresh == ()
        assert report.classes == (1000, 1000)
    assert bool(report.unused) == (in_file and not in_network)
    assert all(name.startswith(("aux1.", "aux2.")) for name in report.unused)


def test_the_auxiliary_heads_last_layers_stay_fresh_too(tmp_path):
    tensors = state_dict(googlenet_layout())
    settings = preset("googlenet-bn")
    network = build(settings, classes=7)
    report = load_pretrained(network, settings, written(tmp_path / "googlenet.pth", tensors))
    ends = [f"{head}.dense" for head in ("head", "auxiliary.inception4a", "auxiliary.inception4d")]
    assert sorted(report.fresh) == sorted(f"{end}.{part}" for end in ends for part in ("weight", "bias"))
    assert torch.equal(network.state_dict()["auxiliary.inception4a.hidden.weight"], tensors["aux1.fc1.weight"])


# ---- what may differ


def test_the_head_of_other_classes_stays_as_it_was(tmp_path):
    tensors = state_dict(tiny_layout(classes=1000))
    network = build(TINY)
    before = network.state_dict()["head.dense.weight"].clone()
    report = load_pretrained(network, TINY, written(tmp_path / "tiny.pth", tensors))
    state = network.state_dict()
    assert torch.equal(state["head.dense.weight"], before)
    assert torch.equal(state["body.stage2.block2.conv1.weight"], tensors["layer2.1.conv1.weight"])
    assert (report.fresh, report.unused) == (("head.dense.weight", "head.dense.bias"), ("fc.weight", "fc.bias"))
    plain = sum(not name.endswith("num_batches_tracked") for name in state)
    sha = hashlib.sha256((tmp_path / "tiny.pth").read_bytes()).hexdigest()[:8]
    assert report.line() == (
        f"weights from tiny.pth (sha256 {sha}): {plain - 2} of {plain} tensors; the last layer starts fresh"
        " (1000 classes there, 10 here); not used: fc.weight, fc.bias"
    )
    stored = json.loads(json.dumps(to_json(report)))
    assert (stored["classes"], stored["layout"], stored["fresh"]) == ([1000, 10], "torchvision", [*report.fresh])


def test_a_backbone_without_head_and_without_counters(tmp_path):
    tensors = state_dict(tiny_layout())
    tensors = {n: t for n, t in tensors.items() if not n.startswith("fc.") and "num_batches" not in n}
    network = build(TINY)
    report = load_pretrained(network, TINY, written(tmp_path / "backbone.pth", tensors))
    assert report.fresh == ("head.dense.weight", "head.dense.bias")
    assert report.classes == (None, 10)
    assert "no classes there, 10 here" in report.line()
    assert torch.equal(network.state_dict()["body.stem.norm.running_var"], tensors["bn1.running_var"])


def test_gray_from_colour_answers_as_to_the_picture_in_three_channels(tmp_path):
    source = written(tmp_path / "colour.pth", state_dict(tiny_layout()))
    colour, gray = build(TINY), build(TINY, channels=1)
    load_pretrained(colour, TINY, source)
    report = load_pretrained(gray, TINY, source)
    assert report.channels == (3, 1)
    assert "summed over its channels for gray images" in report.line()
    images = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = colour.eval()(images.expand(-1, 3, -1, -1))
        torch.testing.assert_close(gray.eval()(images), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-2


def test_colour_from_gray_answers_as_to_the_gray_picture(tmp_path):
    source = written(tmp_path / "gray.pth", state_dict(tiny_layout(channels=1)))
    colour, gray = build(TINY), build(TINY, channels=1)
    load_pretrained(gray, TINY, source)
    report = load_pretrained(colour, TINY, source)
    assert report.channels == (1, 3)
    assert "divided among three channels for colour images" in report.line()
    images = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = gray.eval()(images)
        torch.testing.assert_close(colour.eval()(images.expand(-1, 3, -1, -1)), expected, rtol=1e-5, atol=1e-5)
    kernel = colour.state_dict()["body.stem.conv.weight"]
    assert torch.equal(kernel[:, 0], kernel[:, 2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype, tmp_path):
    tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state_dict(tiny_layout()).items()}
    network = build(TINY)
    load_pretrained(network, TINY, written(tmp_path / "other.pth", tensors))
    kernel = network.state_dict()["body.stem.conv.weight"]
    assert kernel.dtype == torch.float32
    assert torch.equal(kernel, tensors["conv1.weight"].float())


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_keys_and_prefixes_of_training_programs(key, prefix, tmp_path):
    tensors = {f"{prefix}{name}": tensor for name, tensor in state_dict(tiny_layout()).items()}
    content = {key: tensors, "epoch": 3, "optimizer": {"state": {}}} if key else tensors
    network = build(TINY)
    load_pretrained(network, TINY, written(tmp_path / "checkpoint.pt", content))
    assert torch.equal(network.state_dict()["body.stem.conv.weight"], tensors[f"{prefix}conv1.weight"])


def test_the_old_format_of_torch_save_and_any_suffix(tmp_path):
    tensors = state_dict(tiny_layout())
    torch.save(tensors, tmp_path / "old", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "safetensors.pth")
    for name in ("old", "safetensors.pth"):
        network = build(TINY)
        load_pretrained(network, TINY, str(tmp_path / name))
        assert torch.equal(network.state_dict()["head.dense.weight"], tensors["fc.weight"])


def test_a_network_in_channels_last_stays_so(tmp_path):
    tensors = state_dict(tiny_layout())
    network = build(TINY).to(memory_format=torch.channels_last)
    load_pretrained(network, TINY, written(tmp_path / "tiny.pth", tensors))
    kernel = network.state_dict()["body.stage1.block1.conv1.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(kernel, tensors["layer1.0.conv1.weight"])


# ---- Sightline's own


@pytest.mark.parametrize("name", ["cnn", "resnet-pad", "resnet8", "resnet8v2", "alexnet-small"])
def test_a_model_file_and_a_run_of_sightline(name, tmp_path):
    settings = preset(name)
    trained = build_model(settings, channels=3, image_size=(28, 28), num_classes=10, seed=5)
    folder = RunFolder(tmp_path / "run")
    own_file(folder.best_weights, settings, trained)
    own_file(folder.last_weights, settings, build_model(settings, channels=3, image_size=(28, 28), num_classes=10))
    folder.write_settings(Settings(model=settings))
    for source in (folder.path, folder.best_weights):
        network = build_model(settings, channels=1, image_size=(28, 28), num_classes=3, seed=6)
        report = load_pretrained(network, settings, str(source))
        assert (report.layout, report.file, report.channels) == ("sightline", "best.safetensors", (3, 1))
        assert report.fresh == report.unused == ("head.dense.weight", "head.dense.bias")
        ours, theirs = network.state_dict(), trained.state_dict()
        equal = [name for name in ours if torch.equal(ours[name], theirs[name])]
        first = next(name for name, value in theirs.items() if value.ndim == 4)
        assert {*ours} - {*equal} <= {first, *report.fresh}
        assert torch.equal(ours[first], theirs[first].sum(1, keepdim=True))


def test_a_model_file_of_another_model(tmp_path):
    own_file(tmp_path / "cnn.safetensors", preset("cnn"), build(preset("cnn"), side=28))
    line = refused(build(TINY), TINY, str(tmp_path / "cnn.safetensors"))
    assert line.endswith('It looks like cnn. Use model="cnn".')
    assert "it lacks body.stem.conv.weight" in line


def test_a_folder_that_is_no_run_and_one_without_weights(tmp_path):
    assert "no settings.yaml" in refused(build(TINY), TINY, str(tmp_path))
    RunFolder(tmp_path).write_settings(Settings(model=TINY))
    assert "no weights yet" in refused(build(TINY), TINY, str(tmp_path))


# ---- what does not fit
