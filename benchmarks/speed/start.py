"""Sightline's side: how long its command takes to begin, each time in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import side

COMMAND = str(Path(sys.executable).with_name("sightline"))


def main() -> None:
    """Answer."""
    side.answer({"help": show_help, "import": import_package, "first_step": first_step}, ("sightline",))


def show_help() -> side.Answer:
    """`sightline --help`, from the start of the process to its end."""
    return _timed([COMMAND, "--help"])


def import_package() -> side.Answer:
    """`python -c "import sightline"`, the same."""
    return _timed([sys.executable, "-c", "import sightline"])


def _timed(command: list[str]) -> side.Answer:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"values": {"seconds": time.perf_counter() - start}, "details": {}}


def first_step(threads: int) -> side.Answer:
    """From the start of `sightline train digits` to the end of its first step.

    A run that is counted in steps prints a line every log_steps; with one step, logged, that line is read as it comes.
    """
    with tempfile.TemporaryDirectory() as runs:
        arguments = ["train", "digits", "--steps", "1", "--log-steps", "1", "--threads", str(threads), "--runs", runs]
        start = time.perf_counter()
        child = subprocess.Popen([COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert child.stderr is not None
        lines: list[str] = []
        for line in child.stderr:
            if line.startswith("step 1/1"):
                seconds = time.perf_counter() - start
                child.communicate()
                return {"values": {"seconds": seconds}, "details": {}}
            lines.append(line.strip())
        raise SystemExit(f"sightline train digits ended before its first step: {' / '.join(lines[-3:])}")


if __name__ == "__main__":
    main()
