"""Every family as an ONNX file: how far its answers are from torch's. Prints the table of docs/export.md.

    python benchmarks/export_parity.py [NAME ...]

Weights are seeded, not trained, which would take hours: but batch norm gets its figures from pictures, and the last
layer is scaled so that logits spread as those of a trained network do (deviation 3). With weights as they are
initialised all probabilities would be alike, and so would be those of a wrong network.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import onnx
import torch
from torch import nn

from sightline.classifier import Classifier
from sightline.classifier.onnx_backend import from_bytes
from sightline.classifier.onnx_export import compare, random_pictures, to_onnx
from sightline.classifier.torch_backend import TorchBackend
from sightline.data.preprocessing import Preprocessing
from sightline.device import channels_last
from sightline.models import build_model
from sightline.settings import build_settings

CLASSES = 10
SPREAD = 3.0


@dataclass(frozen=True)
class Case:
    """A network, the (H, W, C) it takes, how its input is normalised, and how many pictures it is compared on."""

    name: str
    side: int
    channels: int
    per_image: bool = False
    temperature: float = 1.0
    images: int = 1000


CASES = (
    Case("cnn", 28, 1),
    Case("resnet-pad", 28, 1),
    Case("alexnet-small", 28, 1),
    Case("sprint", 28, 1, temperature=1.3),
    Case("resnet20", 32, 3, per_image=True),
    Case("resnet20v2", 32, 3, per_image=True),
    Case("googlenet", 64, 3),
    Case("googlenet-bn", 32, 3, images=100),
    Case("resnet18", 96, 3, images=100),
    Case("resnet18v2", 96, 3, images=100),
    Case("resnet50", 64, 3, images=100),
    Case("alexnet", 224, 3, images=100),
)


def main() -> None:
    """Print a row a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks, all when none is given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | input | parameters | pictures | max difference | same answers | opset | file, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if not arguments.names or case.name in arguments.names:
            print(row(case), flush=True)


def row(case: Case) -> str:
    """Export a network and compare it."""
    classifier = seeded(case)
    content = to_onnx(classifier)
    backend, _ = from_bytes(content, case.name, threads=1)
    parity = compare(backend, classifier, random_pictures(case.images, classifier.size))
    assert isinstance(classifier.backend, TorchBackend)
    parameters = sum(parameter.numel() for parameter in classifier.backend.module.parameters())
    opset = onnx.load_from_string(content).opset_import[0].version
    return (
        f"| `{case.name}` | {case.channels}x{case.side}x{case.side} | {parameters:,} | {case.images:,} "
        f"| {parity.max_difference:.1e} | {parity.top1_agreement:.1%} | {opset} | {len(content) / 1e6:.2f} |"
    )


def seeded(case: Case) -> Classifier:
    """Make a classifier with seeded weights that answers as variously as a trained one."""
    settings = build_settings(None, {"model": case.name}).model
    size = (case.side, case.side)
    network = build_model(settings, channels=case.channels, image_size=size, num_classes=CLASSES, seed=0)
    preprocessing = Preprocessing(
        height=case.side,
        width=case.side,
        channels=case.channels,
        mean=(0.0 if case.per_image else 0.5,) * case.channels,
        std=(1.0 if case.per_image else 0.25,) * case.channels,
        per_image=case.per_image,
    )
    backend = TorchBackend(
        channels_last(network), preprocessing, torch.device("cpu"), trains=False, temperature=case.temperature
    )
    pixels = random_pictures(64, (*size, case.channels))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over what it sees
        norm.train()
    with torch.no_grad():
        images = backend.prepared(pixels)
        network(images)
        network.eval()
        if network.head.dense.bias is None:  # nothing but the weights can take out what all pictures have in common
            centre, weight = network.head[:-1](network.body(images)).mean(dim=0), network.head.dense.weight
            weight.sub_(torch.outer(weight @ centre, centre) / centre.dot(centre))
        logits = network(images)
        # Of each class over the pictures: that between the classes is the same for every picture.
        factor = SPREAD / float(logits.std(dim=0).mean())
        dense = network.head.dense
        dense.weight.mul_(factor)
        if dense.bias is not None:
            dense.bias.sub_(logits.mean(dim=0)).mul_(factor)
    return Classifier(backend, preprocessing, tuple(map(str, range(CLASSES))), settings, case.temperature)


if __name__ == "__main__":
    main()
