"""What HTTP costs: `python benchmarks/serving.py MODEL`, beside the same Classifier bare and beside an empty endpoint.

    throughput   pictures a second, against the Classifier called with full batches of pixels in one process
    lone         p50 of one request at a time, against the Classifier called with one picture's pixels
    constant     requests a second, against an endpoint of the same framework that reads the body and answers a constant
    endurance    --requests 100000: errors, and memory growth after the first 5,000

Sides take turns, so that a machine that gets slower does so for both. Client and server share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from serving_client import load, request
from serving_program import Program, constant, sightline
from sightline.classifier import Classifier
from sightline.classifier import load as load_model
from sightline.serving.batching import best_batch

CONNECTIONS = 16
FIRST = 5000
MIB = 2**20


def pictures(classifier: Classifier, count: int = 64) -> tuple[list[bytes], np.ndarray[Any, Any]]:
    """Draw pictures of the model's size: encoded, gray ones as PNG, others as JPEG; and pixels uint8 (N, H, W, C)."""
    height, width, channels = classifier.size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 7, 7, channels), dtype=np.uint8)
    pixels = np.empty((count, height, width, channels), np.uint8)
    encoded: list[bytes] = []
    for index, small in enumerate(coarse):
        image = Image.fromarray(small[..., 0] if channels == 1 else small).resize((width, height))
        pixels[index] = np.asarray(image).reshape(height, width, channels)
        stream = io.BytesIO()
        image.save(stream, "PNG" if channels == 1 else "JPEG", quality=90)
        encoded.append(stream.getvalue())
    return encoded, pixels


def bare_rate(classifier: Classifier, pixels: np.ndarray[Any, Any], batch: int, count: int) -> float:
    """Pictures a second of the Classifier alone, in full batches."""
    repeated = np.concatenate([pixels] * (batch // len(pixels) + 1))[:batch]
    rounds = max(1, count // batch)
    start = time.perf_counter()
    for _ in range(rounds):
        classifier.probabilities(repeated, batch)
    return rounds * batch / (time.perf_counter() - start)


def bare_lone(classifier: Classifier, pixels: np.ndarray[Any, Any], count: int) -> float:
    """Median seconds of the Classifier alone for one picture."""
    seconds: list[float] = []
    for index in range(count):
        start = time.perf_counter()
        classifier.probabilities(pixels[index % len(pixels)][None])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def drive(program: Program, messages: list[bytes], count: int, connections: int) -> Any:
    """Send requests, all of which must be answered with 200."""
    tally = asyncio.run(load(program.port, messages, count, connections))
    if set(tally.statuses) != {200}:
        raise SystemExit(f"not only answers: {tally.statuses}")
    return tally


def compare(
    name: str, unit: str, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> dict[str, Any]:
    """Let both sides take turns; print and give medians, the ratio's median and its spread."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    own, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    low, high = min(ratios), max(ratios)
    ratio = statistics.median(ratios)
    print(f"{name:12} {own:12.4g} {other:12.4g} {unit:14} ratio {ratio:.3f}  ({low:.3f} to {high:.3f}, n={rounds})")
    return {
        "name": name,
        "ours": own,
        "theirs": other,
        "unit": unit,
        "ratio": ratio,
        "low": low,
        "high": high,
        "n": rounds,
    }


def endurance(program: Program, messages: list[bytes], count: int) -> dict[str, Any]:
    """Send many requests; count what is no answer, and see what memory does after the first 5,000."""
    first = min(FIRST, count // 2)
    asyncio.run(load(program.port, messages, first, CONNECTIONS))
    before = program.memory()
    tally = asyncio.run(load(program.port, messages, count - first, CONNECTIONS))
    growth = (program.memory() - before) / MIB
    errors = sum(n for status, n in tally.statuses.items() if status != 200)
    print(f"endurance    {count:,} requests, {errors} errors, {growth:+.2f} MiB after {first:,}, {tally.rate:.0f}/s")
    return {"name": "endurance", "requests": count, "errors": errors, "growth_mib": growth, "rate": tally.rate}


def main() -> None:
    """Measure what was asked for, and write it down where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", choices=("throughput", "lone", "constant", "endurance"), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000, help="requests a round; a lone round has a tenth")
    parser.add_argument("--requests", type=int, default=100_000, help="of the endurance run")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    wanted = arguments.only or ["throughput", "lone", "constant", "endurance"]
    classifier = load_model(arguments.model)
    encoded, pixels = pictures(classifier)
    kind = "image/png" if classifier.size[2] == 1 else "image/jpeg"
    messages = [request("/v1/predict", content, kind) for content in encoded]
    count, rounds = arguments.count, arguments.rounds
    found: list[dict[str, Any]] = []
    with sightline(arguments.model) as program:
        drive(program, messages, max(50, count // 10), CONNECTIONS)
        print(f"{'':12} {'ours':>12} {'theirs':>12}")
        if "throughput" in wanted:
            # Theirs too at the batch that suits it, not at the one that the server chose.
            batch = max(program.max_batch, best_batch(classifier))

            def served() -> float:
                return drive(program, messages, count, CONNECTIONS).rate

            def alone() -> float:
                return bare_rate(classifier, pixels, batch, count)

            found.append(compare("throughput", "pictures/s", rounds, served, alone))
        if "lone" in wanted:
            few = max(20, count // 10)

            def one() -> float:
                return statistics.median(drive(program, messages, few, 1).latencies)

            found.append(compare("lone", "s", rounds, one, lambda: bare_lone(classifier, pixels, few)))
        if "constant" in wanted:
            with constant() as other:
                drive(other, messages, max(50, count // 10), CONNECTIONS)

                def ours() -> float:
                    return drive(program, messages, count, CONNECTIONS).rate

                def nothing() -> float:
                    return drive(other, messages, count, CONNECTIONS).rate

                found.append(compare("constant", "requests/s", rounds, ours, nothing))
        if "endurance" in wanted:
            found.append(endurance(program, messages, arguments.requests))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
