"""Weights that are refused: of other networks, not finite, damaged, or holding more than tensors."""

from __future__ import annotations

import argparse
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from helpers.layouts import (
    BLOCKS,
    TINY,
    alexnet_layout,
    build,
    googlenet_layout,
    preset,
    refused,
    resnet_layout,
    shapes_only,
    state_dict,
    tiny_layout,
    written,
)
from sightline.settings import GoogLeNetSettings


def test_the_weights_of_another_depth(tmp_path):
    settings = preset("resnet18")
    tensors = shapes_only(resnet_layout(BLOCKS[34]))
    line = refused(build(settings), settings, written(tmp_path / "r34.pth", tensors))
    assert "r34.pth: it has the extra layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias and 93 more" in line
    assert line.endswith('(expected the tensors of resnet18). It looks like resnet34. Use model="resnet34".')


def test_bottlenecks_for_basic_blocks(tmp_path):
    settings = preset("resnet18")
    layout = resnet_layout(BLOCKS[50], bottleneck=True)
    tensors = shapes_only(layout)
    line = refused(build(settings), settings, written(tmp_path / "r50.pth", tensors))
    assert 'It looks like resnet50. Use model="resnet50".' in line
    assert "layer1.0.conv1.weight is 64x64x1x1 instead of 64x64x3x3" in line


def test_a_stem_of_another_kernel(tmp_path):
    settings = preset("resnet18", stem="small")
    tensors = shapes_only(resnet_layout(BLOCKS[18]))
    line = refused(build(settings), settings, written(tmp_path / "r18.pth", tensors))
    assert "r18.pth: conv1.weight is 64x3x7x7 instead of 64x3x3x3 (expected the tensors of resnet). " in line
    assert line.endswith('It looks like resnet18. Use model="resnet18".')


def test_missing_tensors_are_named(tmp_path):
    tensors = state_dict(tiny_layout())
    del tensors["layer2.1.bn2.running_var"], tensors["fc.bias"]
    line = refused(build(TINY), TINY, written(tmp_path / "short.pth", tensors))
    assert "short.pth: it lacks layer2.1.bn2.running_var, fc.bias (expected the tensors of resnet)." in line
    assert line.endswith("It looks like a ResNet of 1-2 basic blocks.")


def test_names_cannot_command_a_terminal(tmp_path):
    tensors = {"\x1b[2Jlayer": torch.zeros(1), **state_dict(tiny_layout())}
    line = refused(build(TINY), TINY, written(tmp_path / "names.pth", tensors))
    assert line.isprintable()
    assert "it has the extra '\\x1b[2Jlayer'" in line


def test_four_channels_fit_neither(tmp_path):
    line = refused(build(TINY), TINY, written(tmp_path / "four.pth", state_dict(tiny_layout(channels=4))))
    assert "conv1.weight is 4x4x7x7 instead of 4x3x7x7" in line


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (alexnet_layout, 'It looks like alexnet. Use model="alexnet".'),
        (googlenet_layout, 'It looks like googlenet with batch norm. Use model="googlenet-bn".'),
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
    assert line.endswith('Use model="googlenet-bn".')


@pytest.mark.parametrize("name", ["resnet18v2", "cnn", "alexnet-small"])
def test_networks_that_no_other_program_has(name, tmp_path):
    tensors = shapes_only(resnet_layout(BLOCKS[18]))
    settings = preset(name)
    line = refused(build(settings), settings, written(tmp_path / "r18.pth", tensors))
    assert "tensors of resnet18" in line
    assert f"since no other program has {name})" in line
    assert line.endswith('Use model="resnet18".')


def test_grouped_convolutions_are_no_resnet_of_ours(tmp_path):
    layout = resnet_layout(BLOCKS[50], bottleneck=True)
    layout = {n: (s[0], 4, 3, 3) if n.endswith("conv2.weight") else s for n, s in layout.items()}
    tensors = shapes_only(layout)
    settings = preset("resnet50")
    line = refused(build(settings), settings, written(tmp_path / "resnext.pth", tensors))
    assert line.endswith("It looks like a ResNeXt of 3-4-6-3 bottleneck blocks.")


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
    assert "reading that could run code" in line
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
        (b"", "it is empty"),
        (b"P", "it holds no weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it holds no weights"),
        (b"<!DOCTYPE html><html></html>", "it holds no weights"),
        (b'{"weights": [1, 2, 3]}', "it holds no weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "it holds no weights"),
        (b"PK\x03\x04" + bytes(100), "it is truncated, damaged or something else"),
        (b"\x80\x02" + bytes(100), "it holds a pickle's own operations"),
        (bytes(8) + b"{" + bytes(100), "it is truncated, damaged or something else"),
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
        ({}, "it holds no state dict, but nothing"),
        ([torch.zeros(2)], "it holds no state dict, but list"),
        (torch.zeros(2), "it holds no state dict, but Tensor"),
        ({"epoch": 3, "loss": 0.5}, "it holds no state dict, but 'epoch', 'loss'"),
        ({"conv1.weight": [1.0, 2.0]}, "it holds no state dict, but 'conv1.weight'"),
        ({"state_dict": {}}, "it holds no state dict, but 'state_dict'"),
        ({3: torch.zeros(2)}, "it holds no state dict, but 3"),
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
    assert refused(build(TINY), TINY, str(tmp_path / "step-000400.safetensors")).endswith("Give its run folder.")


# ---- by name
