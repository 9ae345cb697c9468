"""Whether `sightline forecast` keeps what it promises: from half of the pictures to all of them.

    python benchmarks/forecast.py FOLDER ... --halves 10 --pictures 1000 --json build/forecast.json

Features of a folder's pictures, all its parts together, are computed once, by the backbone of the recipe photos. Then,
ten times, 1,000 pictures are drawn and of these a random half, both stratified. Of the half alone the accuracy with
twice as many training pictures is forecast. The truth is the mean over heads that are fitted to nine tenths of the
1,000, of which a tenth chooses the penalty, measured on all pictures that are not among the 1,000.

Printed is how often the truth lies in the 90 % interval, how wide that is, and how far off the forecast is, beside two
plainer rules: no gain, which takes the accuracy measured with most pictures, and a straight line through the accuracies
over the logarithm of the number of pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from sightline.data import Splits, fit_preprocessing, load
from sightline.data.split import stratified
from sightline.device import resolve as find_compute
from sightline.models.pretrained import load_pretrained
from sightline.recipes.resolve import resolve
from sightline.training.forecast import forecast_of
from sightline.training.head import FrozenBackbone, Regression, choose
from sightline.training.heads_by_size import measure_heads
from sightline.training.prepare import build_network

HEADS = 5
VALIDATION = 0.1


def features_of(folder: Path) -> tuple[Any, Any]:
    """What the backbone makes of all pictures of a folder, (N, C), and their labels."""
    settings = resolve(str(folder), "photos", {"near_duplicates": "anywhere", "validation": 0})
    data = load(settings.data)
    network = build_network(settings, Splits(data.train, None, None))
    assert settings.model is not None
    load_pretrained(network, settings.model, "imagenet")
    backbone = FrozenBackbone.of(network, fit_preprocessing(data.train, settings.data), find_compute(settings.device))
    assert backbone is not None
    parts = [part for part in (data.train, data.val, data.test) if part is not None]
    values = np.concatenate([backbone.features(part) for part in parts])
    return values, np.concatenate([part.labels for part in parts])


def kept_features(folder: Path, cache: Path) -> tuple[Any, Any]:
    """The same, from a file where they were computed before."""
    file = cache / f"{folder.name}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        values, labels = features_of(folder)
        np.savez(file, values=values, labels=labels)
    stored = np.load(file)
    return stored["values"], stored["labels"]


def without(rows: Any, part: Any) -> Any:
    """Rows that are not in a part of them."""
    return np.setdiff1d(rows, part)


def truth(values: Any, labels: Any, rows: Any, asked: Any, classes: int) -> tuple[float, int]:
    """The mean accuracy on `asked` of heads fitted to `rows` as a run fits them, and how many pictures each had."""
    accuracies: list[float] = []
    train = rows
    for head in range(HEADS):
        judges = rows[stratified(labels[rows], round(VALIDATION * len(rows)), classes, 1000 + head)]
        train = without(rows, judges)
        regression = Regression(values[train], labels[train], classes, balanced=False)
        weight, bias = choose(regression, values[judges], labels[judges])[2]
        accuracies.append(float(((values[asked] @ weight.T + bias).argmax(1) == labels[asked]).mean()))
    return float(np.mean(accuracies)), len(train)


def case(values: Any, labels: Any, pictures: int, seed: int) -> dict[str, Any]:
    """One half: what was forecast and what was true."""
    classes = int(labels.max()) + 1
    everything = np.arange(len(labels))
    full = stratified(labels, pictures, classes, seed)
    half = full[stratified(labels[full], pictures // 2, classes, seed)]
    asked = without(everything, full)
    began = time.perf_counter()
    measured = measure_heads(values[half], labels[half], classes, seed=seed)
    seconds = time.perf_counter() - began
    before, now = truth(values, labels, half, asked, classes)
    after, twice = truth(values, labels, full, asked, classes)
    found = forecast_of(measured, now, "", seconds).predictions[0]
    assert found.images == twice
    accuracies = 1 - measured.errors()
    slope, start = np.polyfit(np.log(measured.sizes), accuracies, 1)
    return {
        "asked": len(asked), "from": now, "to": twice, "truth": after, "before": before, "seconds": seconds,
        "forecast": found.accuracy, "interval": found.interval, "gain": found.gain,
        "gain_interval": found.gain_interval, "no_gain": float(accuracies[-1]),
        "line": float(min(1.0, start + slope * np.log(twice))),
    }  # fmt: skip


def row(name: str, cases: list[dict[str, Any]]) -> str:
    """A row of the table."""
    inside = sum(c["interval"][0] <= c["truth"] <= c["interval"][1] for c in cases)
    gains = sum(c["gain_interval"][0] <= c["truth"] - c["before"] <= c["gain_interval"][1] for c in cases)
    width = np.mean([c["interval"][1] - c["interval"][0] for c in cases])
    gain_width = np.mean([c["gain_interval"][1] - c["gain_interval"][0] for c in cases])
    errors = [np.mean([abs(c[rule] - c["truth"]) for c in cases]) for rule in ("forecast", "line", "no_gain")]
    bias = np.mean([c["forecast"] - c["truth"] for c in cases])
    # An interval as wide as this one's on average, about a plainer rule.
    plain = [sum(abs(c[rule] - c["truth"]) <= width / 2 for c in cases) for rule in ("line", "no_gain")]
    cells = [
        name, f"{np.mean([c['before'] for c in cases]):.2%}", f"{np.mean([c['truth'] for c in cases]):.2%}",
        f"{inside} of {len(cases)}", f"{100 * width:.2f}", f"{100 * bias:+.2f}",
        *(f"{100 * error:.2f}" for error in errors), *(f"{count} of {len(cases)}" for count in plain),
        f"{gains} of {len(cases)}", f"{100 * gain_width:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--halves", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first of the halves'")
    parser.add_argument("--cache", type=Path, default=Path("build/forecast"), help="where features are kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in options.folders:
        values, labels = kept_features(folder, options.cache)
        seeds = range(options.seed, options.seed + options.halves)
        found[folder.name] = [case(values, labels, options.pictures, seed) for seed in seeds]
        print(row(folder.name, found[folder.name]), flush=True)
    everything = [one for cases in found.values() for one in cases]
    head = ["folder", "half", "all", "in the interval", "its width", "mean error", "mean absolute error"]
    head += ["of a line", "of no gain", "line in it", "no gain in it", "gain in its interval", "its width"]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name, cases in [*found.items(), ("all", everything)]:
        print(row(name, cases))
    print(f"\nseconds of a forecast, features apart: median {np.median([c['seconds'] for c in everything]):.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
