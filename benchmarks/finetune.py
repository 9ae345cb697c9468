"""How much faster is an epoch when the backbone is frozen?

    python benchmarks/finetune.py --data-dir DIR --rounds 3 [--images 12000]

Makes a ResNet-18 state dict in torchvision's layout from seeded random weights and fine-tunes it on Fashion-MNIST, the
stem's three channels summed to one. In each round all four runs follow each other: everything trained and only the head
trained, with and without augmentation. Without augmentation the frozen features are computed once, and that time counts
over the 10 epochs. `--images` takes that many of the training images. Prints seconds an epoch (validation in it) and
the ratios of each round: median, least, most, n.
Exit code 1 if a tensor of a frozen backbone has changed.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import sightline as sl
from sightline.data import load
from sightline.models import build_model
from sightline.runs.folder import RESULTS, RunFolder
from sightline.settings import build_settings

NAMES = (
    (r"^body\.stem\.conv", "conv1"),
    (r"^body\.stem\.norm", "bn1"),
    (r"^body\.stage(\d)\.block(\d)\.", lambda match: f"layer{match[1]}.{int(match[2]) - 1}."),
    (r"\.norm(\d)\.", r".bn\1."),
    (r"shortcut\.conv", "downsample.0"),
    (r"shortcut\.norm", "downsample.1"),
    (r"^head\.dense", "fc"),
)
AUGMENTED = {"shift": 2, "flip": "random"}
# Side -> settings, epochs that are run.
SIDES = {
    "all, plain": ({}, 1),
    "head, plain": ({"freeze": "backbone"}, 10),
    "all, augmented": (AUGMENTED, 1),
    "head, augmented": ({"freeze": "backbone", **AUGMENTED}, 1),
}


def make_file(path: Path, seed: int) -> None:
    """Write ResNet-18 with 1000 classes, for three channels, as torchvision names its tensors."""
    settings = build_settings({}, {"model": "resnet18"}).model
    assert settings is not None
    network = build_model(settings, channels=3, image_size=(224, 224), num_classes=1000, seed=seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        tensors[name] = tensor
    torch.save(tensors, path)


def backbone(run: Path) -> dict[str, torch.Tensor]:
    """The tensors of a run's last weights that are not the head's."""
    tensors = load_file(run / "weights" / "last.safetensors")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}


def main() -> int:
    """Run all sides, print their figures, and check the frozen ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    frozen: list[dict[str, torch.Tensor]] = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "resnet18.pth"
        make_file(weights, seed=0)
        data = load(build_settings({}, {"data": "fashion-mnist", "data_dir": options.data_dir}).data)
        data = replace(data, train=data.train.select(np.arange(options.images)))
        for _ in range(options.rounds):
            for side, (changes, epochs) in SIDES.items():
                result = sl.train(
                    data, recipe="none", model="resnet18", pretrained=str(weights), epochs=epochs, lr=0.01,
                    batch_size=options.batch_size, threads=options.threads, runs=folder, quiet=True, **changes,
                )  # fmt: skip
                rows = RunFolder.open(result.run).rows(RESULTS)
                seconds[side].append(sum(float(row["seconds"]) for row in rows) / len(rows))
                print(f"{side:16} {seconds[side][-1]:7.2f} s an epoch  test {result.test_accuracy:.4f}", flush=True)
                if "freeze" in changes:
                    frozen.append(backbone(result.run))
    for kind in ("plain", "augmented"):
        ratios = [a / b for a, b in zip(seconds[f"all, {kind}"], seconds[f"head, {kind}"], strict=True)]
        print(
            f"{kind}: {statistics.median(ratios):.2f} times faster (least {min(ratios):.2f}, most {max(ratios):.2f},"
            f" n={len(ratios)})"
        )
    reference = build_reference()
    same = all(torch.equal(tensor, reference[name]) for tensors in frozen for name, tensor in tensors.items())
    print(f"frozen backbones: {'bit-identical to the file' if same else 'CHANGED'}")
    return 0 if same else 1


def build_reference() -> dict[str, torch.Tensor]:
    """The backbone of the file, its stem summed over the channels."""
    settings = build_settings({}, {"model": "resnet18"}).model
    assert settings is not None
    network = build_model(settings, channels=3, image_size=(224, 224), num_classes=1000, seed=0)
    tensors = dict(network.state_dict())
    tensors["body.stem.conv.weight"] = tensors["body.stem.conv.weight"].sum(1, keepdim=True)
    return tensors


if __name__ == "__main__":
    sys.exit(main())
