"""Does a comparison that is killed again and again end with the same table as one that never stopped?

    python benchmarks/kill_comparison.py --kills 5 --seed 0 [--jobs 2]

Makes a comparison of two sides with three seeds once without a break. Then makes it again, killing the whole process
group (SIGKILL) at random moments, and going on each time. Prints and compares the results less their times; exit code 1
if they differ, or if the comparison ended before the last kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "sightline", "compare"]
SIDES = ["cnn:lr=0.05", "cnn:lr=0.2", "--data", "digits", "--epochs", "60", "--seeds", "3", "--threads", "1"]
START = 1.5
"""Seconds about which a command begins to train: an earlier kill has little to lose."""
TIMES = {"seconds_per_epoch", "train_seconds", "latency_ms", "looks"}


def main() -> int:
    """Run both, print what was found, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        whole = ended(["--comparisons", f"{place}/whole"], SIDES, 1)
        seconds = time.monotonic() - began
        broken = Path(place, "broken")
        kills = 0
        words = [*SIDES, "--comparisons", str(broken)]
        while kills < options.kills:
            # So that all kills together leave something to do, whatever is drawn.
            wait = draw.uniform(START, START + seconds / (options.kills + 1))
            if not killed(words, options.jobs, wait):
                print(f"it ended before the kill after {wait:.1f} s")
                break
            kills += 1
            made = list(broken.glob("*/comparison.yaml"))
            finished = len(list(broken.glob("*/runs/*/test/metrics.json")))
            print(f"kill {kills} after {wait:.1f} s: {finished} of 6 runs were finished")
            words = ["--resume", str(made[0].parent)] if made else words
        again = ended([], words, options.jobs)
    print(json.dumps(again["sides"], indent=1)[:600])
    same = whole == again
    told = "the same table" if same else "NOT the same"
    print(f"{kills} of {options.kills} kills, {options.jobs} at a time: {told}")
    return 0 if same and kills == options.kills else 1


def ended(more: list[str], words: list[str], jobs: int) -> dict[str, Any]:
    """Let a comparison come to its end, and give its results without times and places."""
    done = subprocess.run(
        [*COMMAND, *words, *more, "--jobs", str(jobs), "--json", "--quiet"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    found["sides"] = [{key: value for key, value in side.items() if key not in TIMES} for side in found["sides"]]
    return {key: value for key, value in found.items() if key not in (*TIMES, "comparison")}


def killed(words: list[str], jobs: int, wait: float) -> bool:
    """Start or go on, and kill it after `wait` seconds; whether it was still running."""
    process = subprocess.Popen([*COMMAND, *words, "--jobs", str(jobs), "--quiet"], start_new_session=True)
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
