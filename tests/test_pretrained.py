"""Reading torchvision's layouts, written down here from their published structure, and refusing everything else."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from sightline.classifier import model_file
from sightline.data.preprocessing import unit_preprocessing
from sightline.errors import FileError, ResourceError, UsageError
from sightline.files.json_records import to_json
from sightline.models import build_model
from sightline.models.pretrained import hub, load_pretrained
from sightline.runs.folder import RunFolder
from sightline.settings import MODEL_PRESETS, GoogLeNetSettings, ResNetSettings, Settings

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
TINY = ResNetSettings(stage_depths=(1, 2), stage_widths=(4, 8))
# Columns of table 1 of arXiv 1409.4842: entering, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool.
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def norm(name, width):
    shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def dense(name, entering, leaving):
    return {f"{name}.weight": (leaving, entering), f"{name}.bias": (leaving,)}


def resnet_layout(depths, widths=(64, 128, 256, 512), *, bottleneck=False, kernel=7, channels=3, classes=1000):
    """torchvision.models.resnet.ResNet: the names and shapes of its state dict."""
    shapes = {"conv1.weight": (widths[0], channels, kernel, kernel), **norm("bn1", widths[0])}
    entering = widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        leaving = 4 * width if bottleneck else width
        for block in range(depth):
            name = f"layer{stage}.{block}"
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            before = entering
            for number, side in enumerate(kernels, start=1):
                after = leaving if number == len(kernels) else width
                shapes[f"{name}.conv{number}.weight"] = (after, before, side, side)
                shapes |= norm(f"{name}.bn{number}", after)
                before = after
            if block == 0 and (stage > 1 or entering != leaving):
                shapes[f"{name}.downsample.0.weight"] = (leaving, entering, 1, 1)
                shapes |= norm(f"{name}.downsample.1", leaving)
            entering = leaving
    return shapes | dense("fc", entering, classes)


def alexnet_layout(classes=1000, hidden=4096):
    """torchvision.models.alexnet.AlexNet."""
    shapes = {}
    entering = 3
    for index, leaving, side in ((0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3)):
        shapes |= {f"features.{index}.weight": (leaving, entering, side, side), f"features.{index}.bias": (leaving,)}
        entering = leaving
    return (
        shapes
        | dense("classifier.1", 9216, hidden)
        | dense("classifier.4", hidden, hidden)
        | dense("classifier.6", hidden, classes)
    )


def googlenet_layout(classes=1000, *, auxiliary=True):
    """torchvision.models.googlenet.GoogLeNet; its branch3 has 3x3 kernels where the paper has 5x5."""

    def conv(name, entering, leaving, side):
        return {f"{name}.conv.weight": (leaving, entering, side, side), **norm(f"{name}.bn", leaving)}

    shapes = conv("conv1", 3, 64, 7) | conv("conv2", 64, 64, 1) | conv("conv3", 64, 192, 3)
    for number, (entering, one, reduce3, three, reduce5, five, pool) in INCEPTIONS.items():
        name = f"inception{number}"
        shapes |= conv(f"{name}.branch1", entering, one, 1)
        shapes |= conv(f"{name}.branch2.0", entering, reduce3, 1) | conv(f"{name}.branch2.1", reduce3, three, 3)
        shapes |= conv(f"{name}.branch3.0", entering, reduce5, 1) | conv(f"{name}.branch3.1", reduce5, five, 3)
        shapes |= conv(f"{name}.branch4.1", entering, pool, 1)
    for name, entering in (("aux1", 512), ("aux2", 528)) if auxiliary else ():
        shapes |= conv(f"{name}.conv", entering, 128, 1)
        shapes |= dense(f"{name}.fc1", 2048, 1024) | dense(f"{name}.fc2", 1024, classes)
    return shapes | dense("fc", 1024, classes)


def tiny_layout(**changes):
    return resnet_layout(**{"depths": (1, 2), "widths": (4, 8), "classes": 10, **changes})


def state_dict(layout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in layout.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7 + len(tensors))
        elif name.endswith("running_var"):
            tensors[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            tensors[name] = torch.randn(shape, generator=generator) / 10
    return tensors


def shapes_only(layout):
    """Tensors of the layout's shapes that take no room, for files that are refused by their shapes."""
    return {name: torch.zeros(()).expand(shape) for name, shape in layout.items()}


def parameters(layout):
    return sum(
        torch.Size(shape).numel()
        for name, shape in layout.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )


def build(settings, channels=3, classes=10, side=64):
    return build_model(settings, channels=channels, image_size=(side, side), num_classes=classes, seed=1)


def preset(name, **changes):
    values = {**MODEL_PRESETS[name], **changes}
    return Settings.model_validate({"model": values}).model


def written(path, tensors):
    torch.save(tensors, path)
    return str(path)


def refused(network, settings, source, kind=FileError):
    """The one line that is said, after which the network must be as it was."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(kind) as caught:
        load_pretrained(network, settings, source)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- torchvision's layouts


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


def own_file(path, settings, network, classes=10, channels=3):
    header = model_file.ModelHeader(
        model=settings,
        class_names=tuple(str(number) for number in range(classes)),
        preprocessing=unit_preprocessing((64, 64, channels)),
    )
    model_file.save(path, network.state_dict(), header)


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
    assert line.endswith("it looks like cnn; use --model cnn")
    assert "it lacks body.stem.conv.weight" in line


def test_a_folder_that_is_no_run_and_one_without_weights(tmp_path):
    assert "no settings.yaml" in refused(build(TINY), TINY, str(tmp_path))
    RunFolder(tmp_path).write_settings(Settings(model=TINY))
    assert "no weights yet" in refused(build(TINY), TINY, str(tmp_path))


# ---- what does not fit


def test_the_weights_of_another_depth(tmp_path):
    settings = preset("resnet18")
    tensors = shapes_only(resnet_layout(BLOCKS[34]))
    line = refused(build(settings), settings, written(tmp_path / "r34.pth", tensors))
    assert "r34.pth: it has in excess layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias and 93 more" in line
    assert line.endswith("the tensors of resnet18; it looks like resnet34; use --model resnet34")


def test_bottlenecks_for_basic_blocks(tmp_path):
    settings = preset("resnet18")
    layout = resnet_layout(BLOCKS[50], bottleneck=True)
    tensors = shapes_only(layout)
    line = refused(build(settings), settings, written(tmp_path / "r50.pth", tensors))
    assert "it looks like resnet50; use --model resnet50" in line
    assert "layer1.0.conv1.weight is 64x64x1x1 instead of 64x64x3x3" in line


def test_a_stem_of_another_kernel(tmp_path):
    settings = preset("resnet18", stem="small")
    tensors = shapes_only(resnet_layout(BLOCKS[18]))
    line = refused(build(settings), settings, written(tmp_path / "r18.pth", tensors))
    assert "r18.pth: conv1.weight is 64x3x7x7 instead of 64x3x3x3; the tensors of resnet; " in line
    assert line.endswith("it looks like resnet18; use --model resnet18")


def test_missing_tensors_are_named(tmp_path):
    tensors = state_dict(tiny_layout())
    del tensors["layer2.1.bn2.running_var"], tensors["fc.bias"]
    line = refused(build(TINY), TINY, written(tmp_path / "short.pth", tensors))
    assert "short.pth: it lacks layer2.1.bn2.running_var, fc.bias; the tensors of resnet;" in line
    assert line.endswith("it looks like a ResNet of 1-2 basic blocks")


def test_names_cannot_command_a_terminal(tmp_path):
    tensors = {"\x1b[2Jlayer": torch.zeros(1), **state_dict(tiny_layout())}
    line = refused(build(TINY), TINY, written(tmp_path / "names.pth", tensors))
    assert line.isprintable()
    assert "it has in excess '\\x1b[2Jlayer'" in line


def test_four_channels_fit_neither(tmp_path):
    line = refused(build(TINY), TINY, written(tmp_path / "four.pth", state_dict(tiny_layout(channels=4))))
    assert "conv1.weight is 4x4x7x7 instead of 4x3x7x7" in line


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (alexnet_layout, "it looks like alexnet; use --model alexnet"),
        (googlenet_layout, "it looks like googlenet with batch norm; use --model googlenet-bn"),
    ],
)
def test_another_familys_weights(layout, said, tmp_path):
    tensors = shapes_only(layout())
    assert said in refused(build(TINY), TINY, written(tmp_path / "other.pth", tensors))


def test_the_papers_googlenet_has_no_torchvision_weights(tmp_path):
    tensors = shapes_only(googlenet_layout())
    settings = GoogLeNetSettings()
    line = refused(build(settings), settings, written(tmp_path / "googlenet.pth", tensors))
    assert "it lacks conv1.conv.bias" in line
    assert line.endswith("use --model googlenet-bn")


@pytest.mark.parametrize("name", ["resnet18v2", "cnn", "alexnet-small"])
def test_networks_that_no_other_program_has(name, tmp_path):
    tensors = shapes_only(resnet_layout(BLOCKS[18]))
    settings = preset(name)
    line = refused(build(settings), settings, written(tmp_path / "r18.pth", tensors))
    assert "tensors of resnet18" in line
    assert f"since {name} is in no other program's layout" in line
    assert line.endswith("use --model resnet18")


def test_grouped_convolutions_are_no_resnet_of_ours(tmp_path):
    layout = resnet_layout(BLOCKS[50], bottleneck=True)
    layout = {n: (s[0], 4, 3, 3) if n.endswith("conv2.weight") else s for n, s in layout.items()}
    tensors = shapes_only(layout)
    settings = preset("resnet50")
    line = refused(build(settings), settings, written(tmp_path / "resnext.pth", tensors))
    assert line.endswith("it looks like a ResNeXt of 3-4-6-3 bottleneck blocks")


# ---- damaged, foreign and dangerous files


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(value, tmp_path):
    tensors = state_dict(tiny_layout())
    tensors["layer1.0.conv2.weight"][0, 0, 0, 0] = value
    tensors["bn1.bias"][1] = value
    line = refused(build(TINY), TINY, written(tmp_path / "nan.pth", tensors))
    assert "NaN or infinity in bn1.bias, layer1.0.conv2.weight" in line


def test_float64_beyond_float32_is_not_finite(tmp_path):
    tensors = {n: t.double() if t.is_floating_point() else t for n, t in state_dict(tiny_layout()).items()}
    tensors["fc.bias"][0] = 1e300
    assert "infinity in fc.bias" in refused(build(TINY), TINY, written(tmp_path / "huge.pth", tensors))


def test_whole_numbers_are_no_weights(tmp_path):
    tensors = {n: t.to(torch.int8) for n, t in state_dict(tiny_layout()).items()}
    assert "no plain floats in conv1.weight" in refused(build(TINY), TINY, written(tmp_path / "int8.pth", tensors))


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("form", ["zip", "old", "protocol 2", "protocol 5", "in a state dict"])
def test_a_pickle_with_code_in_it_is_refused_and_runs_nothing(form, tmp_path):
    harm, path = tmp_path / "harm", tmp_path / "evil.pth"
    evil = Touch(harm)
    if form.startswith("protocol"):
        path.write_bytes(pickle.dumps(evil, protocol=int(form[-1])))
    elif form == "in a state dict":
        torch.save({"state_dict": {**state_dict(tiny_layout()), "more": evil}}, path)
    else:
        torch.save({"conv1.weight": evil}, path, _use_new_zipfile_serialization=form == "zip")
    line = refused(build(TINY), TINY, str(path))
    assert "could run code, so it is refused" in line
    assert not harm.exists()
    pickle.loads(pickle.dumps(evil))  # the same pickle does harm where it is trusted
    assert harm.exists()


def test_a_whole_module_and_a_scripts_arguments_are_refused(tmp_path):
    for content, named in (
        (build(TINY), "sightline.models.network.Network"),
        ({"state_dict": state_dict(tiny_layout()), "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
    ):
        line = refused(build(TINY), TINY, written(tmp_path / "more.pth", content))
        assert f"it holds {named}, and reading that could run code" in line
        assert "torch.save(model.state_dict(), FILE)" in line


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
@pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.9999])
def test_truncated_files(kind, part, tmp_path):
    path = tmp_path / "cut"
    tensors = state_dict(tiny_layout())
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: max(9, int(part * len(whole)))])
    assert "truncated, damaged or something else" in refused(build(TINY), TINY, str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"P", "no weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "no weights"),
        (b"<!DOCTYPE html><html></html>", "no weights"),
        (b'{"weights": [1, 2, 3]}', "no weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "no weights"),
        (b"PK\x03\x04" + bytes(100), "truncated, damaged or something else"),
        (b"\x80\x02" + bytes(100), "it holds a pickle's own operations"),
        (bytes(8) + b"{" + bytes(100), "truncated, damaged or something else"),
    ],
)
def test_files_of_something_else(content, said, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    line = refused(build(TINY), TINY, str(path))
    assert line.startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no state dict in it, but nothing"),
        ([torch.zeros(2)], "no state dict in it, but list"),
        (torch.zeros(2), "no state dict in it, but Tensor"),
        ({"epoch": 3, "loss": 0.5}, "no state dict in it, but 'epoch', 'loss'"),
        ({"conv1.weight": [1.0, 2.0]}, "no state dict in it, but 'conv1.weight'"),
        ({"state_dict": {}}, "no state dict in it, but 'state_dict'"),
        ({3: torch.zeros(2)}, "no state dict in it, but 3"),
        ({"a": torch.tensor(1.0), "fc.weight": torch.tensor(1.0)}, "it lacks conv1.weight"),
    ],
)
def test_no_state_dict(content, said, tmp_path):
    assert said in refused(build(TINY), TINY, written(tmp_path / "no.pth", content))


def test_no_such_file(tmp_path):
    line = refused(build(TINY), TINY, str(tmp_path / "none.pth"))
    assert line.startswith(f"{tmp_path / 'none.pth'}: no such file")


def test_a_checkpoint_of_a_run(tmp_path):
    tensors = {f"model/{name}": tensor for name, tensor in build(TINY).state_dict().items()}
    save_file(tensors, tmp_path / "step-000400.safetensors")
    assert refused(build(TINY), TINY, str(tmp_path / "step-000400.safetensors")).endswith("give its run folder")


# ---- by name


@pytest.fixture
def hf(tmp_path, monkeypatch):
    """huggingface_hub with a cache of its own and an address at which nobody listens."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def use(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )

    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    use(f"http://127.0.0.1:{server.server_port}")
    return use


@pytest.fixture
def hub_server(hf):
    """A hub on the loopback: (files by path, requests as (method, path, headers))."""
    files, requests = {}, []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append((self.command, self.path, dict(self.headers)))
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            if content is not None:
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hf(f"http://127.0.0.1:{server.server_port}")
    yield files, requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_imagenet_takes_timms_copy_of_torchvisions(tmp_path, monkeypatch):
    tensors = state_dict(resnet_layout(BLOCKS[18]))
    save_file(tensors, tmp_path / "model.safetensors")
    asked = []
    monkeypatch.setattr(hub, "download", lambda repository: asked.append(repository) or tmp_path / "model.safetensors")
    settings = preset("resnet18", zero_residual=True, stem="auto", init="glorot")
    network = build(settings, channels=1)
    report = load_pretrained(network, settings, "imagenet")
    assert asked == ["timm/resnet18.tv_in1k"]
    assert (report.source, report.file) == ("imagenet", "timm/resnet18.tv_in1k")
    assert torch.equal(network.state_dict()["body.stem.norm.bias"], tensors["bn1.bias"])
    assert report.line().startswith("weights from timm/resnet18.tv_in1k (sha256 ")


@pytest.mark.parametrize("depth", BLOCKS)
def test_each_depth_has_its_repository(depth):
    assert hub.repository(f"resnet{depth}", "") == f"timm/resnet{depth}.tv_in1k"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("resnet18", {"stem": "small"}),
        ("resnet18", {"stage_widths": (32, 64, 128, 256)}),
        ("resnet18v2", {}),
        ("resnet20", {}),
        ("alexnet-small", {}),
        ("googlenet-bn", {}),
        ("cnn", {}),
    ],
)
def test_networks_without_weights_by_name(name, changes, monkeypatch):
    monkeypatch.setattr(hub, "download", pytest.fail)
    settings = preset(name, **changes)
    line = refused(build(settings), settings, "imagenet")
    assert line.startswith("--pretrained imagenet: there are no weights by this name for ")
    assert "resnet152 have some" in line
    assert "torchvision's .pth file" in line


def test_download_once_and_nothing_but_the_file(hub_server, capfd, monkeypatch):
    files, requests = hub_server
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = "/timm/tiny.tv_in1k/resolve/main/model.safetensors"
    files[path] = b"weights" * 1000
    found = hub.download("timm/tiny.tv_in1k")
    assert found.read_bytes() == files[path]
    assert {asked for _, asked, _ in requests} == {path}
    assert [method for method, _, _ in requests].count("GET") == 1
    for _, _, headers in requests:
        assert not any(name.lower() == "authorization" for name in headers)
        assert "torch" not in str(headers)
    requests.clear()
    assert hub.download("timm/tiny.tv_in1k") == found
    assert requests == []
    assert capfd.readouterr() == ("", "")


def test_the_hub_lacks_the_file(hub_server):
    with pytest.raises(FileError, match=r"timm/none is not here and cannot be downloaded \(HTTP 404\)"):
        hub.download("timm/none")


def test_unreachable_is_one_line_at_once(hf, capfd):
    settings = preset("resnet18")
    line = refused(build(settings), settings, "imagenet")
    assert line.startswith("--pretrained imagenet: timm/resnet18.tv_in1k is not here and cannot be downloaded (Connect")
    assert "give the file: --pretrained FILE" in line
    assert capfd.readouterr() == ("", "")


def test_offline_by_choice(hf, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match=r"cannot be downloaded \(OfflineModeIsEnabled\); connect"):
        hub.download("timm/resnet18.tv_in1k")


def test_no_place_for_the_file(hub_server, tmp_path):
    files, _ = hub_server
    files["/timm/tiny/resolve/main/model.safetensors"] = b"weights"
    (tmp_path / "hub").write_text("a file where the cache must be")
    with pytest.raises(ResourceError, match="a file is where a folder must be"):
        hub.download("timm/tiny")


def test_the_library_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"not installed; pip install sightline\[pretrained\], or give a file"):
        hub.download("timm/resnet18.tv_in1k")


def test_the_librarys_own_settings_are_left_as_they_were(hf):
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    before = constants.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity()
    with pytest.raises(FileError):
        hub.download("timm/resnet18.tv_in1k")
    assert (constants.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity()) == before
