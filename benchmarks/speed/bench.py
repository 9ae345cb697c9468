"""How fast is Sightline, and how fast are the others on this machine?

    make bench                                    under 15 minutes on two cores
    make bench-full                               everything; hours, and can be interrupted and begun again
    .venv/bin/python benchmarks/speed/bench.py --only steps --rounds steps=5

Every side is a process of its own, in its own environment, one at a time. A round has each side once, every second one
in the opposite order. Prints a table a section and writes benchmarks/results/DATE-cpu.json. What is finished is kept in
build/bench/LENGTH.jsonl until that file is written, so that the same command goes on after an interruption.
docs/benchmarks.md says what is measured, and how. Exit code 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import report
from figures import FIGURES, number
from plan import LENGTHS, OURS, Case, Section, Side, sections, with_rounds, without
from runs import ROOT, SideError, Sides, Store, sources

RESULTS = ROOT / "benchmarks" / "results"
WORK = ROOT / "build" / "bench"


def main() -> int:
    """Measure what was asked for and write the report."""
    options = arguments()
    length = "smoke" if options.smoke else "full" if options.full else "quick"
    asked = chosen(options, length)
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{length}.jsonl"
    if options.fresh:
        path.unlink(missing_ok=True)
    sides = Sides(options.threads, WORK, options.data_dir, options.cifar10_folder)
    machine = environment(sides, options.threads)
    store = Store(path, sources())
    if len(store) and store.machine != machine:
        changed = [key for key in machine if store.machine.get(key) != machine[key]]
        print(f"error: {path.name}: begun with another {', '.join(changed)}; --fresh begins again", file=sys.stderr)
        return 2
    if len(store):
        print(f"{len(store)} measurements are kept from an interrupted run; --fresh begins again.")
    store.begin(machine)
    print(f"{machine['processor']}, {options.threads} threads, torch {machine['torch']}")

    document = {
        "schema": report.SCHEMA, "date": datetime.now(UTC).date().isoformat(), "length": length,
        "command": command(options), "threads": options.threads, "hardware": machine, "versions": {}, "commits": [],
        "sections": [], "skipped": {}, "failed": [],
    }  # fmt: skip
    for section in asked:
        reason = missing(section, options)
        if reason:
            print(f"\n{section.name}: skipped: {reason}")
            document["skipped"][section.name] = reason
            continue
        print(f"\n{section.name} ...", flush=True)
        measured, notes = measure(section, sides, store, document)
        found = report.summarise(section, measured)
        found["notes"] += notes
        document["sections"].append(found)
        print(report.table(found), flush=True)
    write(document, options, store)
    return 1 if document["failed"] else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="everything, with more rounds and seeds")
    parser.add_argument("--only", action="append", metavar="SECTION", help="this section; may be repeated")
    parser.add_argument("--rounds", action="append", default=[], metavar="[SECTION=]N", help="rounds, or seeds")
    parser.add_argument("--leave-out", action="append", default=[], metavar="SIDE", help="this side; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-steps", type=int, metavar="N",
                        help="make only the first N steps of R3 and R4 and project their time from them")  # fmt: skip
    parser.add_argument("--peer-epochs", type=int, metavar="N", help="Keras' epochs of MNIST [8; 12 with --full]")
    parser.add_argument("--data-dir", default=os.environ.get("SIGHTLINE_DATA"), metavar="DIR",
                        help="has the official files in mnist/ and fashion-mnist/ [SIGHTLINE_DATA]")  # fmt: skip
    parser.add_argument("--cifar10-folder", metavar="DIR", help="CIFAR-10 as pictures: train/CLASS/ and test/CLASS/")
    parser.add_argument("--out", type=Path, metavar="FILE", help="[benchmarks/results/DATE-cpu.json]")
    parser.add_argument("--fresh", action="store_true", help="forget what an interrupted run has measured")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_steps is not None and options.peer_steps < 30:
        parser.error("--peer-steps: 30 or more, of which the first 10 are left out")
    if options.peer_epochs is not None and options.peer_epochs < 1:
        parser.error("--peer-epochs: 1 or more")
    for name in ("data_dir", "cifar10_folder"):
        if getattr(options, name):
            setattr(options, name, str(Path(getattr(options, name)).expanduser().resolve()))
    return options


def chosen(options: argparse.Namespace, length: str) -> list[Section]:
    """The sections that were asked for, with their rounds; `accuracy` means all that begin so."""
    scale = replace(LENGTHS[length], peer_steps=options.peer_steps)
    if options.peer_epochs:
        scale = replace(scale, mnist=(options.peer_epochs, scale.mnist[1]))
    found = sections(scale, options.threads)

    def named(section: Section, name: str) -> bool:
        return section.name == name or section.name.startswith(f"{name}-")

    known = ", ".join(section.name for section in found)
    rounds = [text.rpartition("=") for text in options.rounds]
    for name in (*(options.only or ()), *(name for name, _, _ in rounds if name)):
        if not any(named(section, name) for section in found):
            raise SystemExit(f"error: '{name}' is no section of this length; there are {known}")
    if any(not count.isdigit() or count == "0" for _, _, count in rounds):
        raise SystemExit("error: --rounds: a number from 1 on is needed, or SECTION=NUMBER")
    if options.only:
        found = [section for section in found if any(named(section, name) for name in options.only)]
    sides = {side.name for section in found for case in section.cases for side in case.sides}
    for name in options.leave_out:
        if name not in sides:
            raise SystemExit(f"error: '{name}' is no side of these sections; there are {', '.join(sorted(sides))}")
    found = [without(section, options.leave_out) for section in found]
    for name, _, count in rounds:
        found = [with_rounds(s, int(count)) if not name or named(s, name) else s for s in found]
    return found


def missing(section: Section, options: argparse.Namespace) -> str | None:
    """Why a section cannot be run, in one line."""
    peers = sorted(section.programs - OURS)
    if peers and not Sides.python(peers[0]).exists():
        return "there is no .venv-peers; make .venv-peers/.installed makes it"
    if section.data == "cifar10-folder":
        folder = options.cifar10_folder
        if folder is None:
            return "CIFAR-10 as pictures is needed; --cifar10-folder DIR"
        lacks = [part for part in ("train", "test") if not (Path(folder) / part).is_dir()]
        return f"the folder has no {lacks[0]}/; --cifar10-folder DIR" if lacks else None
    if section.data is not None:
        file = "train-images-idx3-ubyte.gz"
        if options.data_dir is None or not (Path(options.data_dir) / section.data / file).exists():
            return f"{section.data}/{file} is needed; --data-dir DIR or SIGHTLINE_DATA"
    return None


def environment(sides: Sides, threads: int) -> dict[str, Any]:
    """The hardware and Sightline's versions, as Sightline names them."""
    side = Side("the machine", "ours.py", {"task": "environment", "threads": threads}, 1)
    try:
        return sides.ask(side, "", 0)["details"]
    except SideError as error:
        raise SystemExit(f"error: Sightline does not start: {error}") from None


def measure(
    section: Section, sides: Sides, store: Store, document: dict[str, Any]
) -> tuple[list[report.Measurement], list[str]]:
    """All measurements of a section, round by round, and a line for each side that was left out.

    What is stored is not measured again. A side that fails is not asked again in its case.
    """
    found: list[report.Measurement] = []
    notes: list[str] = []
    if section.prepares is not None:
        sides.ask(section.prepares, "", 0)
    for case in section.cases:
        gone: set[str] = set()
        for side, round_number in turns(case):
            if side.name in gone:
                continue
            where = f"{case.name}: {side.name}, round {round_number + 1} of {side.rounds}"
            measurement = store.get(side, case.name, round_number)
            try:
                measurement = measurement or sides.ask(side, case.name, round_number)
            except SideError as error:
                print(f"  {where}: failed: {error}", flush=True)
                document["failed"].append({"section": section.name, "what": where, "why": str(error)})
                gone.add(side.name)
                continue
            if "absent" in measurement:
                notes.append(f"{side.name}: left out: {measurement['absent']}")
                gone.add(side.name)
                continue
            store.add(side, measurement)
            document["versions"].setdefault(side.program, measurement["versions"])
            document["commits"] = sorted({*document["commits"], measurement["commit"]})
            print(f"  {where}: {told(measurement)}", flush=True)
            found.append(measurement)
    return found, notes


def turns(case: Case) -> Iterator[tuple[Side, int]]:
    """The sides in the order in which they are run: all in each round, every second round backwards."""
    for round_number in range(max(side.rounds for side in case.sides)):
        for side in case.sides if round_number % 2 == 0 else reversed(case.sides):
            if round_number < side.rounds:
                yield side, round_number


def told(measurement: report.Measurement) -> str:
    """One measurement in a few words."""
    values = [f"{number(value)} {FIGURES[name].unit}" for name, value in measurement["values"].items()]
    curve = measurement["details"].get("curve")
    if curve:
        values = [f"{100 * curve[-1]['test_accuracy']:.2f} % behind {len(curve)} epochs"]
    return f"{', '.join(values)} ({measurement['wall_seconds']:.0f} s in all)"


def command(options: argparse.Namespace) -> str:
    """The command, without the places of data and results, which are nobody's business."""
    hidden = {path: "DIR" for path in (options.data_dir, options.cifar10_folder) if path}
    if options.out is not None:
        hidden[options.out.expanduser().resolve().as_posix()] = "FILE"
    words = [hidden.get(Path(word).expanduser().resolve().as_posix(), word) for word in sys.argv[1:]]
    return shlex.join(["python", "benchmarks/speed/bench.py", *words])


def write(document: dict[str, Any], options: argparse.Namespace, store: Store) -> None:
    """Write the report, under a name that is free, and forget the measurements that it holds."""
    found = report.problems(document)
    assert not found, found
    path = options.out
    if path is None:
        folder = WORK if options.smoke else RESULTS
        stems = [f"{document['date']}-cpu", *(f"{document['date']}-cpu-{count}" for count in range(2, 1000))]
        path = next(folder / f"{stem}.json" for stem in stems if not (folder / f"{stem}.json").exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")
    for failure in document["failed"]:
        print(f"failed: {failure['section']}: {failure['what']}: {failure['why']}")
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    print(f"\nWritten: {shown}")
    if not document["failed"]:
        store.discard_used()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped; what is finished is kept, and the same command goes on.", file=sys.stderr)
        sys.exit(130)
