"""Compare Sightline's networks with torchvision 0.28.0's and timm 1.0.31's, and keep a small part for tests.

    python3 -m venv .venv-torchvision
    .venv-torchvision/bin/pip install -c constraints.txt -e .
    .venv-torchvision/bin/pip install --no-deps -r benchmarks/parity/requirements-torchvision.txt
    .venv-torchvision/bin/python benchmarks/parity/torchvision_networks.py

The weights bear their names; Sightline reads them from a file as `--pretrained FILE` does. Compared are the
logits in evaluation mode; in training mode those of all heads, and every moving mean and variance after it. Exit code 1
if any differ by 1e-4 or more. The part kept is tests/data/parity/torchvision.npz: names and shapes of their
tensors, and outputs.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision_side
from differences import Difference, largest, markdown
from torchvision_side import CASES, CLASSES, Arrays, Case

STORED = Path(__file__).parents[2] / "tests/data/parity/torchvision.npz"
TOLERANCE = 1e-4


def import_torchvision() -> Any:
    """Import it without its compiled part, which is not built for this torch on CPUs: two empty operators stand in."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return torchvision


def build(models: Any, case: Case) -> torch.nn.Module:
    """The network as torchvision or timm has it, without weights of its own and without dropout."""
    if case.name.startswith("tf_"):
        return import_module("timm").create_model(
            case.name,
            num_classes=CLASSES,
            bn_momentum=0.01,  # TensorFlow's, which timm leaves at PyTorch's 0.1
        )
    options: dict[str, Any] = {}
    if case.name == "googlenet":
        options = {"init_weights": False, "dropout": 0.0, "dropout_aux": 0.0}
    elif case.name == "alexnet":
        options = {"dropout": 0.0}
    return getattr(models, case.name)(weights=None, num_classes=CLASSES, **options)


def main() -> None:
    """Compare all, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], help="only these; nothing is kept then")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torchvision = import_torchvision()
    rows: list[Difference] = []
    kept: Arrays = {"versions": np.array([f"torchvision {torchvision.__version__}", f"torch {torch.__version__}"])}
    for case in (CASES[name] for name in options.names or CASES):
        theirs = build(torchvision.models, case)
        shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
        weights = torchvision_side.state_dict(case, shapes)
        for side in dict.fromkeys((case.side, case.stored)):
            if side is None:
                continue
            theirs.load_state_dict(weights)
            ours = torchvision_side.build(case, side, weights)
            batch = torchvision_side.images(case, side)
            expected = torchvision_side.outputs(theirs, batch)
            found = torchvision_side.outputs(ours, batch, torchvision_side.their_names(case, ours))
            rows += [
                largest(f"{case.name}, {side}x{side}", "", what, found, {what: expected[what]}, TOLERANCE)
                for what in expected
            ]
            assert found.keys() == expected.keys()
            if side == case.stored:
                part = torchvision_side.stored_outputs(expected)
                kept |= {f"{case.name}/{what}": value for what, value in part.items()}
                kept[f"{case.name}/shapes"] = np.array(json.dumps(shapes))
        counts = [sum(p.numel() for p in network.parameters()) for network in (theirs, ours)]
        assert counts[0] == counts[1], f"{case.name}: {counts[0]} and {counts[1]} parameters"
        print(f"{case.name}: {counts[0]:,} parameters on both sides", flush=True)
    print(markdown(rows))
    if not options.names:
        STORED.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(STORED, **kept)
        print(f"{STORED.name}: {STORED.stat().st_size / 1024:.0f} KB")
    sys.exit(any(not row.within for row in rows))


if __name__ == "__main__":
    main()
