"""A training step of EfficientNet-Lite0 and of its last parts on kept features, beside eager PyTorch.

    python benchmarks/backbone_step.py --rounds 5

Batches of 32 at 192 pixels, forward, loss and backward. Sides: PyTorch as it comes (float32, NCHW); the same network in
bfloat16, channels-last, with oneDNN's depthwise gradients; Sightline's (its own depthwise gradients, and memory that is
kept); and what `--freeze front` trains, on kept features. Each side is a process of its own in each round, in turns.
Printed are images a second, median (lowest to highest, n), and how many times the first side's that is. Before that:
how far Sightline's depthwise gradients in float32 are from torch's, in parts of their norm.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sightline.device import channels_last, keep_freed_memory
from sightline.models import build_model, depthwise, same_padding
from sightline.settings import build_settings
from sightline.training.frozen import Cut

BATCH, SIDE, STEPS, WARM_UP, CLASSES = 32, 192, 4, 2, 10
SIDES = ("eager float32 NCHW", "bfloat16, oneDNN's gradients", "Sightline", "Sightline, last parts on kept features")


def network() -> nn.Module:
    """The network with fresh weights, in training mode."""
    model = build_settings(None, {"model": "efficientnet-lite0", "dropout": 0}).model
    assert model is not None
    return build_model(model, channels=3, image_size=(SIDE, SIDE), num_classes=CLASSES, seed=0).train()


def without_own_gradients() -> None:
    """Let the depthwise convolutions be torch's."""

    def plain(x: Any, weight: Any, stride: int, padding: Any) -> Any:
        return functional.conv2d(functional.pad(x, padding), weight, None, stride, 0, 1, len(weight))

    same_padding.depthwise = plain


def images_a_second(side: str) -> float:
    """Take some steps as one side takes them."""
    model = network()
    batch = torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(BATCH) % CLASSES
    half = side != SIDES[0]
    if half:
        model, batch = channels_last(model), batch.contiguous(memory_format=torch.channels_last)
    if side in SIDES[:2]:
        without_own_gradients()
    if side in SIDES[2:]:
        keep_freed_memory()
    trained = model
    if side == SIDES[3]:
        cut = Cut("front", 3)
        cut.freeze_in(model)
        fixed, trained = cut.parts(model)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            batch = fixed(batch).contiguous(memory_format=torch.channels_last)
    seconds: list[float] = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = trained(batch)
        functional.cross_entropy(logits.float(), labels).backward()
        model.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    return BATCH / statistics.median(seconds[WARM_UP:])


def largest_difference() -> float:
    """Compare the gradients of the depthwise kernels and inputs, float32, over all shapes of the network."""
    worst = 0.0
    generator = torch.Generator().manual_seed(0)
    for module in network().modules():
        if isinstance(module, same_padding.SameConv2d) and module.groups > 1:
            stride, kernel = module.stride[0], module.kernel_size[0]
            side = {3: 24, 5: 14}[kernel]
            around = same_padding.same_padding(side, kernel, stride) * 2
            x = torch.randn(4, module.groups, side, side, generator=generator).requires_grad_()
            found = []
            for own in (True, False):
                if own:
                    y: Any = depthwise._Depthwise.apply(x, module.weight, stride, around)  # pyright: ignore
                else:
                    y = functional.conv2d(functional.pad(x, around), module.weight, None, stride, 0, 1, module.groups)
                weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
                found.append(torch.autograd.grad((y * weights).sum(), (x, module.weight)))
            for ours, theirs in zip(*found, strict=True):
                worst = max(worst, float((ours - theirs).norm() / theirs.norm()))
    return worst


def main() -> None:
    """Measure, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(images_a_second(options.side))
        return
    print(f"largest difference of a depthwise gradient in float32: {largest_difference():.1e} of its norm")
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        for side in SIDES if number % 2 else reversed(SIDES):
            done = subprocess.run(
                [sys.executable, __file__, "--side", side], capture_output=True, text=True, check=True
            )
            found[side].append(float(done.stdout))
    first = statistics.median(found[SIDES[0]])
    print("| side | images a second | times the first |\n|---|---|---|")
    for side, rates in found.items():
        middle = statistics.median(rates)
        print(
            f"| {side} | {middle:.1f} ({min(rates):.1f} to {max(rates):.1f}, n={len(rates)}) | {middle / first:.1f} |"
        )


if __name__ == "__main__":
    main()
