"""Whether a change to the code leaves the bits of trained weights as they were.

    python benchmarks/same_bits.py before.json                    # on the code as it is
    PYTHONPATH=/other/checkout/src python benchmarks/same_bits.py after.json
    python benchmarks/same_bits.py after.json --compare before.json

Trains `digits`, `mnist-fast` for 30 steps (where SIGHTLINE_DATA has MNIST), a run resumed in the middle of an epoch, a
run made longer, one with a frozen backbone and a comparison of two networks with two seeds, and writes the SHA-256 of
the tensors of every weight file and of every array of test probabilities. The same machine, torch and number of threads
give the same bits. Half a minute on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import sightline as sl


def tensors_hash(path: Path) -> str:
    """SHA-256 of a file's tensors by name; not of its header, which may say more in another version."""
    digest = hashlib.sha256()
    for name, array in sorted(load_file(path).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the weights and of the test probabilities of every run below a folder, by relative path."""
    found = {path: tensors_hash(path) for path in folder.rglob("weights/*.safetensors")}
    for path in folder.rglob("test/predictions.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            found[path] = hashlib.sha256(np.ascontiguousarray(arrays["probabilities"]).data).hexdigest()
    return {path.relative_to(folder).as_posix(): value for path, value in sorted(found.items())}


def resumed_in_the_middle(place: Path) -> None:
    """Train with a checkpoint every 7 steps, then go back to step 35 (of 22 an epoch) and resume from there."""
    whole = sl.train("digits", runs=place, name="whole", epochs=3, checkpoint_steps=7, keep_checkpoints=99, quiet=True)
    broken = place / "broken-001"
    shutil.copytree(whole.run, broken)
    for path in (broken / "checkpoints").iterdir():
        if int(path.stem.removeprefix("step-")) > 35:
            path.unlink()
    shutil.rmtree(broken / "weights")
    shutil.rmtree(broken / "test")
    sl.resume(broken, quiet=True)
    if hashes(whole.run) != hashes(broken):
        sys.exit("the resumed run differs from the unbroken one")


def train_everything(place: Path) -> None:
    """Make all the runs that are hashed."""
    sl.train("digits", runs=place, name="digits", quiet=True)
    if os.environ.get("SIGHTLINE_DATA"):
        # mnist-fast counts in steps already.
        sl.train("mnist", recipe="mnist-fast", runs=place, name="mnist-fast", steps=30, quiet=True)
    resumed_in_the_middle(place)
    longer = sl.train("digits", runs=place, name="longer", epochs=2, quiet=True)
    sl.resume(longer.run, epochs=4, quiet=True)
    sl.train("digits", recipe="none", model="resnet8", runs=place, name="frozen", epochs=3, batch_size=64, lr=0.05,
             freeze="backbone", unfreeze_epoch=3, flip="none", quiet=True)  # fmt: skip
    sl.compare(["cnn", "resnet8"], data="digits", epochs=2, seeds=2, comparisons=place, name="compared", quiet=True)


def main() -> None:
    """Train, write the hashes, and compare them where other ones are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the hashes are written")
    parser.add_argument("--compare", type=Path, help="hashes written before, which must be the same")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        train_everything(Path(place))
        found = hashes(Path(place))
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(f"{len(found)} hashes of {Path(sl.__file__).parent} in {arguments.out}")
    if arguments.compare:
        before = json.loads(arguments.compare.read_text("utf-8"))
        differing = sorted(name for name in found.keys() | before.keys() if found.get(name) != before.get(name))
        sys.exit(f"different: {', '.join(differing)}" if differing else None)


if __name__ == "__main__":
    main()
