"""From nothing to people: how long until a page reads a digit that someone draws on it?

    python benchmarks/from_nothing.py [--seeds 3] [--out FILE]

`sightline train mnist`, `report`, `export` and `serve`, each the command that a user would give, then a seven drawn on
the served page in Chromium until its answer stands. The browser is open before the clock starts, as a user's is; the
data set lies on disk. Prints the seconds of each part, their sum and the test accuracy, for each seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from serving_program import sightline

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.strokes import DIGITS, draw, settled

PARTS = ("train", "report", "export", "serve", "answer")


def main() -> None:
    """Measure each seed, print a table, and write it down where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found = [measured(browser, seed) for seed in range(options.seeds)]
        browser.close()
    print("seed  " + "".join(f"{part:>9}" for part in (*PARTS, "all")) + "   accuracy  the seven is read as")
    for seed, one in enumerate(found):
        seconds = "".join(f"{one[part]:9.1f}" for part in (*PARTS, "all"))
        print(f"{seed:4}  {seconds}    {one['accuracy']:.2%}  {one['label']}")
    whole = [one["all"] for one in found]
    print(f"median {statistics.median(whole):.1f} s ({min(whole):.1f} to {max(whole):.1f}, n={len(whole)})")
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(browser: Browser, seed: int) -> dict[str, Any]:
    """Do it once, in an empty folder; seconds of each part and what came of it."""
    page = browser.new_page()
    with tempfile.TemporaryDirectory() as place:
        clock = [time.perf_counter()]
        trained = told("train", "mnist", "--seed", str(seed), "--runs", place, "--quiet")
        clock.append(time.perf_counter())
        run = trained["run"]
        told("report", run)
        clock.append(time.perf_counter())
        model = told("export", run)["path"]
        clock.append(time.perf_counter())
        with sightline(Path(model)) as program:
            clock.append(time.perf_counter())
            page.goto(f"http://127.0.0.1:{program.port}/")
            page.wait_for_selector("#draw:not([hidden])")
            draw(page, DIGITS[7])
            settled(page)
            clock.append(time.perf_counter())
            label = page.locator(".best").first.inner_text()
            page.close()
    seconds = dict(zip(PARTS, (after - before for before, after in itertools.pairwise(clock)), strict=True))
    return {**seconds, "all": clock[-1] - clock[0], "accuracy": trained["test_accuracy"], "label": label}


def told(*words: str) -> dict[str, Any]:
    """Run a command of Sightline's to its end; its answer."""
    done = subprocess.run(
        [sys.executable, "-m", "sightline", *words, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
