"""Does a run that is killed again and again end with the same bits as one that never stopped?

    python benchmarks/kill_resume.py --kills 20 --seed 0

Trains a channels-last, bf16, fused run with a moving average and dropout once without a break. Then trains it again,
killing the process (SIGKILL) at random moments, the last time in the middle of writing a checkpoint, and resuming each
time. Prints and compares the SHA-256 of the weights and of results.csv without its time columns; exit code 1 if any
differs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sightline as sl
from sightline.runs.folder import RESULTS, TIME_COLUMNS, RunFolder

RUN = shlex.split(
    "synthetic --recipe none --image-size 16 --channels 3 --synthetic-count 600 --model cnn"
    " --conv-widths 16,32 --hidden 64 --dropout 0.4 --optimizer adamw --lr 0.002 --schedule cosine --epochs 12"
    " --batch-size 16 --ema-decay 0.95"
    " --precision bf16 --channels-last --fused --shift 1 --flip random --checkpoint-steps 7 --keep-checkpoints 3"
    " --log-steps 10 --label-smoothing 0.1"
)
COMMAND = [sys.executable, "-m", "sightline", "train"]
# Runs the command, but dies half-way through writing its second checkpoint.
DIES_WRITING = """
import os, signal, sys
from sightline.files import atomic
from sightline.training import checkpoints
written = 0
def write_half(path, content):
    global written
    written += path.parent.name == "checkpoints"
    if written < 2:
        return whole(path, content)
    def half(stream):
        stream.write(content[: len(content) // 2])
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    atomic.write_with(path, half)
whole = atomic.write_bytes
checkpoints.atomic.write_bytes = write_half
from sightline.__main__ import main
sys.argv = ["sightline", "train", "--resume", sys.argv[1]]
main()
"""


def fingerprint(run: Path) -> dict[str, str]:
    """SHA-256 of the weights, and of results.csv without its time columns."""
    folder = RunFolder.open(run)
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in folder.rows(RESULTS)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    found = {path.name: path.read_bytes() for path in (folder.best_weights, folder.last_weights)}
    found[RESULTS] = text.getvalue().encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a child and wait until it is about to take its first step."""
    child = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "steps;" in line or "continues from step" in line:
            return child
    raise SystemExit(f"{' '.join(arguments)} ended with {child.wait()} before its first step")


def check_sums(run: Path) -> None:
    """Stop where a kill has left a file that is not as its sum says."""
    if (run / "settings.yaml").is_file() and (damaged := sl.verify(run).damaged):
        sys.exit(f"damaged by a kill: {', '.join(map(str, damaged))}")


def kill_and_resume(runs: Path, kills: int, longest: float, seed: int) -> tuple[Path, int]:
    """Train in `runs`, killed `kills` times within `longest` seconds of each start; the run and the kills that hit."""
    moments = random.Random(seed)
    run = runs / "synthetic-cnn-001"
    hits = 0
    child = start([*COMMAND, *RUN, "--runs", str(runs)])
    for _ in range(kills):
        time.sleep(moments.uniform(0, longest))
        hits += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
        check_sums(run)
        child = start([*COMMAND, "--resume", str(run)])
    child.send_signal(signal.SIGKILL)
    child.communicate()
    dying = subprocess.run([sys.executable, "-c", DIES_WRITING, str(run)], capture_output=True, check=False)
    hits += dying.returncode == -signal.SIGKILL
    check_sums(run)
    left = [path.name for path in (run / "checkpoints").iterdir() if path.suffix != ".safetensors"]
    print(f"killed inside a checkpoint write: {dying.returncode == -signal.SIGKILL}, left behind {len(left)} half file")
    subprocess.run([*COMMAND, "--resume", str(run)], check=True, capture_output=True)
    return run, hits


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    RUN.extend(["--threads", str(options.threads)])
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        done = subprocess.run([*COMMAND, *RUN, "--runs", str(whole), "--json"], check=True, capture_output=True)
        seconds = json.loads(done.stdout)["train_seconds"]
        expected = fingerprint(whole / "synthetic-cnn-001")
        print(f"unbroken: {seconds:.1f} s of training")
        run, hits = kill_and_resume(Path(folder) / "killed", options.kills, 0.8 * seconds / options.kills, options.seed)
        found = fingerprint(run)
        print(f"killed {hits} times (one inside a checkpoint write), seed {options.seed}")
    for name, value in expected.items():
        print(f"{name:20} {value}  {'same' if found[name] == value else f'DIFFERS: {found[name]}'}")
    sys.exit(found != expected)


if __name__ == "__main__":
    main()
