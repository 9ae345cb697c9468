"""Does `sightline check` find what is wrong, in time, and leave the rest alone?

    python benchmarks/check_planted.py --cifar10-folder DIR

Links the 60,000 pictures of DIR (train/CLASS/ and test/CLASS/) into a folder of its own and plants faults there: 50
training pictures become corrupt files, 20 get an exact copy among the test pictures, 20 one that was encoded again as
JPEG of quality 75; beside these, for information, 20 each of other changes. Then runs the command and counts. Exit code
1 where fewer are found than promised, more than 0.5% of the other pictures are flagged as near duplicates, or it took
longer than 120 s. CIFAR-10 has near duplicates of its own (arXiv 1902.00423), which count among the flagged here.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

CORRUPT, COPIES = 50, 20
PROMISED = {"corrupt": 50, "exact": 20, "jpeg-75": 18}
MOST_FLAGGED, MOST_SECONDS = 0.005, 120
KINDS_OF_CORRUPT = ("truncated", "random", "empty", "magic", "text")


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def _resized(side: int) -> Callable[[Image.Image], bytes]:
    return lambda image: _encoded(image.resize((side, side), Image.Resampling.BICUBIC), "PNG")


def _brighter(factor: float) -> Callable[[Image.Image], bytes]:
    return lambda image: _encoded(image.point(lambda level: min(255, round(level * factor))), "PNG")


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg-75": lambda image: _encoded(image, "JPEG", quality=75),
    "jpeg-90": lambda image: _encoded(image, "JPEG", quality=90),
    "jpeg-60": lambda image: _encoded(image, "JPEG", quality=60),
    "webp-75": lambda image: _encoded(image, "WEBP", quality=75),
    "resized-28": _resized(28),
    "resized-40": _resized(40),
    "darker-0.8": _brighter(0.8),
    "brighter-1.15": _brighter(1.15),
}


def main() -> int:
    """Plant, check, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10-folder", metavar="DIR", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "cifar10"
        shutil.copytree(options.cifar10_folder, root, copy_function=_link)
        planted = plant(root, random.Random(options.seed))
        report, seconds, user = run_check(root)
    figures = count(report, planted)
    figures |= {"seconds": round(seconds, 1), "user_seconds": round(user, 1), "cores": os.cpu_count()}
    print(json.dumps(figures, indent=2))
    enough = all(figures["found"][kind] >= least for kind, least in PROMISED.items())
    return 0 if enough and figures["flagged_share"] <= MOST_FLAGGED and seconds <= MOST_SECONDS else 1


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def plant(root: Path, chance: random.Random) -> dict[str, dict[str, str]]:
    """Plant all faults: kind -> planted file -> the file it was made from, relative to `root`."""
    train = sorted((root / "train").rglob("*.jpg"))
    chosen = iter(chance.sample(train, CORRUPT + COPIES * (1 + len(CHANGES))))
    planted: dict[str, dict[str, str]] = {"corrupt": {}, "exact": {}, **{kind: {} for kind in CHANGES}}
    for index in range(CORRUPT):
        path = next(chosen)
        content = path.read_bytes()
        path.unlink()  # a link: its original must stay as it is
        path.write_bytes(_corrupt(content, KINDS_OF_CORRUPT[index % len(KINDS_OF_CORRUPT)], chance))
        planted["corrupt"][_name(path, root)] = ""
    for kind in ("exact", *CHANGES):
        for _ in range(COPIES):
            source = next(chosen)
            content = source.read_bytes()
            if kind != "exact":
                with Image.open(io.BytesIO(content)) as image:
                    content = CHANGES[kind](image.convert("RGB"))
            suffix = "webp" if content[:4] == b"RIFF" else "png" if content[:4] == b"\x89PNG" else "jpg"
            target = root / "test" / source.parent.name / f"planted-{kind}-{source.stem}.{suffix}"
            target.write_bytes(content)
            planted[kind][_name(target, root)] = _name(source, root)
    return planted


def _corrupt(content: bytes, kind: str, chance: random.Random) -> bytes:
    match kind:
        case "truncated":
            return content[: chance.randrange(1, len(content) - 1)]
        case "random":
            return chance.randbytes(len(content))
        case "empty":
            return b""
        case "magic":
            return b"\x89PNG" + content[4:]
        case _:
            return b"a text file by the name of a picture\n" * 10


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def run_check(root: Path) -> tuple[dict[str, Any], float, float]:
    """Run the command as a user would: its report, wall seconds, user CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.perf_counter()
    command = [sys.executable, "-m", "sightline", "check", str(root), "--json"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - start
    return json.loads(answer.stdout), seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def count(report: dict[str, Any], planted: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Count what was found of the planted faults, and which other pictures were flagged as near duplicates."""
    pairs: set[tuple[str, ...]] = set()
    bad: set[str] = set()
    near: set[str] = set()
    for problem in report["problems"]:
        files = [tuple(entry["files"]) for entry in problem["found"]]
        if problem["kind"] in ("unreadable", "cut_short"):
            bad |= {name for (name,) in files}
        elif problem["kind"].startswith(("exact_", "near_")):
            pairs |= set(files)
            near |= {name for pair in files for name in pair} if problem["kind"].startswith("near_") else set()
    found = {
        kind: sum((source, name) in pairs if source else name in bad for name, source in files.items())
        for kind, files in planted.items()
    }
    involved = {name for files in planted.values() for pair in files.items() for name in pair}
    clean = report["pictures"] - len(involved - bad - {""})
    flagged = len(near - involved)
    return {
        "pictures": report["files"],
        "planted": {kind: len(files) for kind, files in planted.items()},
        "found": found,
        "wrongly_called_unreadable": len(bad - set(planted["corrupt"])),
        "flagged": flagged,
        "flagged_share": round(flagged / clean, 5),
    }


if __name__ == "__main__":
    sys.exit(main())
