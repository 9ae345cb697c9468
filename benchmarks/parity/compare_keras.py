"""Compare Sightline with what `keras_programs.py` wrote, print the table, and keep a small part for the tests.

    python benchmarks/parity/compare_keras.py build/parity/keras.npz

Exit code 1 if anything differs by more than its tolerance. The part kept is tests/data/parity/keras.npz: the logits and
losses whole, of each other tensor its root mean square and 16 values.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import seeded
import sightline_side
import torch
from differences import Difference, largest, markdown
from numpy.typing import NDArray
from programs import PROGRAMS, digest

TOLERANCE = 1e-4
STORED = Path(__file__).parents[2] / "tests/data/parity/keras.npz"
"""Where the part for the tests lies."""


def main() -> None:
    """Compare everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(options.file, allow_pickle=False) as opened:
        theirs = {name: opened[name] for name in opened.files}
    rows: list[Difference] = []
    findings: list[str] = []
    for program in PROGRAMS.values():
        expected = of_program(theirs, program.name)
        settings = sightline_side.SETTINGS[program.name]()
        ours = sightline_side.compute_logits(program, settings)
        if program.steps:
            ours |= sightline_side.train(program, settings)
        rows += compare(program.name, ours, expected)
        if settings.optimizer.optimizer == "adam" and program.steps:
            plain = settings.optimizer.model_copy(update={"eps_hat": False})
            own = sightline_side.train(program, settings.model_copy(update={"optimizer": plain}))
            findings.append(_placement(program.name, own, expected, settings.optimizer.lr))
        raw = [n for n in expected if n.startswith("keras3/")]
        if raw:
            last = f"after{program.steps}/"
            apart = max(float(np.abs(expected[n] - expected[n.replace("keras3/", last)]).max()) for n in raw)
            findings.append(f"{program.name}: moving variances of Keras 3 differ by up to {apart:.1e} (n, not n - 1)")
    rows.append(_lrn(theirs["lrn/normed"]))
    print(markdown(rows))
    print("\n".join(findings))
    print(f"Keras 3's moving variance {theirs['moving/keras']}, the fused batch norm's {theirs['moving/fused']}")
    keep(theirs)
    sys.exit(any(not row.within for row in rows))


def compare(name: str, ours: dict[str, NDArray], theirs: dict[str, NDArray]) -> list[Difference]:
    """The rows of one program."""
    row = PROGRAMS[name].row
    rows = [largest(name, row, "logits", {"logits": ours["logits"]}, {"logits": theirs["logits"]}, TOLERANCE)]
    assert int(ours["parameters"]) == int(theirs["parameters"]), f"{name}: other numbers of parameters"
    if "losses" not in theirs:
        return rows
    rows.append(largest(name, row, "losses", {"losses": ours["losses"]}, {"losses": theirs["losses"]}, TOLERANCE))
    for kind, title in (
        ("gradient", "gradients"),
        ("after1", "weights after 1 step"),
        ("after2", "weights after 2 steps"),
    ):
        names = [n for n in theirs if n.startswith(f"{kind}/")]
        missing = {n for n in ours if n.startswith(f"{kind}/") and "num_batches" not in n} ^ set(names)
        assert not missing, f"{name}: on one side only: {sorted(missing)}"
        rows.append(largest(name, row, title, ours, {n: theirs[n] for n in names}, TOLERANCE))
    return rows


def _placement(name: str, own: dict[str, NDArray], theirs: dict[str, NDArray], rate: float) -> str:
    names = [n for n in theirs if n.startswith("after1/") and "running" not in n]
    apart = np.concatenate([np.abs(own[n] - theirs[n]).ravel() for n in names]) / rate
    return (
        f"{name}: with torch's place of eps the first step differs by up to {apart.max():.3f} of the learning rate,"
        f" on average {apart.mean():.1e}, by more than 1 % of it in {100 * (apart > 0.01).mean():.3f} % of the weights"
    )


def _lrn(expected: NDArray) -> Difference:
    maps = torch.from_numpy(seeded.uniform(0, "lrn", (4, 24, 6, 5), -30, 30))
    normed = sightline_side.local_response_norm()(maps).numpy()
    return largest("LRN layer", "R5", "output", {"o": normed}, {"o": expected}, TOLERANCE)


def keep(theirs: dict[str, NDArray]) -> None:
    """Write the part for the tests."""
    kept = {name: value for name, value in theirs.items() if name.partition("/")[0] not in PROGRAMS}
    for program in PROGRAMS:
        kept |= {f"{program}/{name}": value for name, value in digest(of_program(theirs, program)).items()}
    STORED.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(STORED, **kept)
    print(f"{STORED.name}: {STORED.stat().st_size / 1024:.0f} KB")


def of_program(arrays: dict[str, NDArray], program: str) -> dict[str, NDArray]:
    """The arrays of one program, without its name before theirs."""
    return {n.removeprefix(f"{program}/"): v for n, v in arrays.items() if n.startswith(f"{program}/")}


if __name__ == "__main__":
    main()
