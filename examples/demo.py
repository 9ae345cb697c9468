"""The main job from end to end, as `make demo` runs it: train, test, look at the pictures, predict.

Every line that begins with $ is a command that can be typed as it stands.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNS = Path("runs")
PICTURE = RUNS / "a-digit.png"


def sightline(*words: str) -> None:
    """Show a command, then run it."""
    print(f"\n$ sightline {' '.join(words)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "sightline", *words], check=False).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Run the commands."""
    before = set(RUNS.glob("*"))
    sightline("train", "digits")
    (run,) = set(RUNS.glob("*")) - before
    sightline("test", str(run))
    print(f"\n$ python examples/save_picture.py digits {PICTURE}", flush=True)
    subprocess.run([sys.executable, "examples/save_picture.py", "digits", str(PICTURE)], check=True)
    sightline("predict", str(run), str(PICTURE))
    print("\nLook at")
    for path, what in (
        (run / "curves.png", "accuracy and loss, epoch by epoch"),
        (run / "test" / "confusion_matrix.png", "which digits are confused with which"),
        (PICTURE, "the picture that was just classified"),
    ):
        print(f"  {path!s:44}  {what}")
    print("\nNext commands")
    for command, what in (
        (". .venv/bin/activate", ""),
        ("sightline train mnist", "MNIST, downloaded on first use"),
        ("sightline train FOLDER", "your own pictures, one folder per class"),
        ("sightline recipes", "ready-made settings"),
        ("sightline train --help-all", "every setting"),
    ):
        print(f"  {command:44}  {what}".rstrip())


if __name__ == "__main__":
    main()
