"""What a training step is computed with: oneDNN's fast kernels, on channels-last maps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from sightline.classifier.input_step import InputStep
from sightline.data import unit_preprocessing
from sightline.device import channels_last
from sightline.models import build_model
from sightline.settings import build_settings

STEP = """
import sys, torch
from sightline.classifier.input_step import InputStep
from sightline.data import unit_preprocessing
from sightline.device import channels_last, resolve
from sightline.models import build_model
from sightline.settings import DeviceSettings, build_settings
name, channels, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
compute = resolve(DeviceSettings(device="cpu", threads=1))
size = (side, side)
model = build_settings({}, {"model": name}).model
network = channels_last(build_model(model, channels=channels, image_size=size, num_classes=10, seed=0)).train()
images = InputStep(unit_preprocessing((side, side, channels)))(torch.zeros(16, side, side, channels, dtype=torch.uint8))
with compute.autocast():
    outputs = network(images)
logits = outputs[0] if isinstance(outputs, tuple) else outputs
logits.float().logsumexp(1).sum().backward()
"""
NETWORKS = [("cnn", 1, 28), ("sprint", 1, 28), ("sprint", 3, 32), ("resnet8", 3, 32), ("googlenet-bn", 1, 28)]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("name", "channels", "side"), NETWORKS)
def test_no_convolution_falls_back_to_the_reference_kernel(name: str, channels: int, side: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEP, name, str(channels), str(side)],
        env={**os.environ, "ONEDNN_VERBOSE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    # onednn_verbose,v1,primitive,exec,cpu,convolution,IMPLEMENTATION,PROPAGATION,...
    calls = [line.split(",") for line in done.stdout.splitlines() if ",exec,cpu," in line]
    convolutions = [call for call in calls if call[5] == "convolution"]
    assert {call[7] for call in convolutions} == {"forward_training", "backward_data", "backward_weights"}
    assert [call[5:8] for call in calls if call[6].startswith("ref")] == []


@pytest.mark.parametrize(("name", "channels", "side"), NETWORKS)
def test_maps_are_channels_last_behind_the_first_convolution(name: str, channels: int, side: int) -> None:
    """Looked at behind the convolution: an image of one channel is of both layouts, whatever it says."""
    model = build_settings({}, {"model": name}).model
    assert model is not None
    network = channels_last(build_model(model, channels=channels, image_size=(side, side), num_classes=10, seed=0))
    maps: list[torch.Tensor] = []
    for part in network.body.modules():
        if not list(part.children()) and any(p.ndim == 4 for p in (*part.parameters(), *part.buffers())):
            part.register_forward_hook(lambda _part, _inputs, output: maps.append(output))
    pixels = torch.zeros(4, side, side, channels, dtype=torch.uint8)
    network(InputStep(unit_preprocessing((side, side, channels)))(pixels))
    spread = [found for found in maps if min(found.shape[1:]) > 1]
    assert spread and spread[0] is maps[0]
    assert all(found.is_contiguous(memory_format=torch.channels_last) for found in spread)
