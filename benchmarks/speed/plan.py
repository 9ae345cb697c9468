"""What is measured: sections of cases, each case with its sides, and how long each takes in which length.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Length:
    """How much of everything. `steps` holds warm-up steps, steps, steps a block, and rounds of each network;
    `first_images` and `train_steps` cut trainings short, to see whether they work.
    """

    steps: Mapping[str, tuple[int, int, int, int]]
    peak: tuple[tuple[int, ...], int, int]
    """Sizes, repeats, rounds."""
    digits: int
    """Seeds."""
    loader: tuple[int, int, int, int, int]
    """Pictures, images in memory, steps, repeats, rounds."""
    start: tuple[int, int]
    """Rounds of the short commands, and of the first step."""
    inference: tuple[int, int]
    """Repeats with one image, rounds."""
    mnist: tuple[int, int]
    """Keras' epochs, seeds. A single seed stops once it reaches the accuracy."""
    long: int = 0
    """Seeds of the trainings that take hours, 0 to leave them out."""
    first_images: int | None = None
    train_steps: int | None = None
    peer_steps: int | None = None
    """Steps of the peers' trainings that take hours, from which their time is projected; None makes all of them."""


LENGTHS = {
    "quick": Length(
        steps={"R1": (10, 60, 10, 2), "R2": (10, 60, 10, 3), "ResNet-18": (2, 6, 2, 2)},
        peak=((1024, 2048, 4096), 3, 2), digits=3, loader=(5000, 50_000, 8, 30, 1), start=(20, 2), inference=(50, 2),
        mnist=(8, 1),
    ),
    "full": Length(
        steps={"R1": (20, 200, 10, 5), "R2": (20, 200, 10, 5), "ResNet-18": (3, 24, 3, 5)},
        peak=((1024, 2048, 4096), 10, 5), digits=5, loader=(20_000, 50_000, 30, 100, 5), start=(20, 5),
        inference=(200, 5), mnist=(12, 5), long=3,
    ),
    "smoke": Length(
        steps={"R1": (1, 2, 1, 1), "R2": (1, 2, 1, 2), "ResNet-18": (1, 1, 1, 1)},
        peak=((64, 128), 1, 2), digits=1, loader=(40, 2000, 1, 2, 1), start=(1, 1), inference=(2, 1), mnist=(2, 1),
        long=1, first_images=300, train_steps=2,
    ),
}  # fmt: skip
BATCHES = {"R1": 128, "R2": 100, "ResNet-18": 128}
OURS = {"ours.py", "ours_machine.py", "start.py"}


@dataclass(frozen=True)
class Side:
    """One side of a case: the program in this folder, what it is asked, and in how many rounds.

    A `seeded` side trains, each round with another seed.
    """

    name: str
    program: str
    job: Job
    rounds: int
    seeded: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is Sightline."""
        return self.program in OURS

    def job_of(self, number: int) -> dict[str, Any]:
        """What it is asked in round `number`, from 0."""
        return {**self.job, "seed": number} if self.seeded else dict(self.job)


@dataclass(frozen=True)
class Case:
    """Sides that are held against each other. `ratios` names the figures of which ratios are taken.

    `target` is the test accuracy whose first epoch, by the mean over all seeds, gives the time of a side that tells its
    epochs; without one the last epoch does.
    """

    name: str
    sides: tuple[Side, ...]
    ratios: tuple[str, ...] = ()
    target: float | None = None


@dataclass(frozen=True)
class Section:
    """What is run by one name. `prepares` is asked before its cases; `data` names what it reads."""

    name: str
    title: str
    cases: tuple[Case, ...]
    data: str | None = None
    prepares: Side | None = None

    @property
    def programs(self) -> set[str]:
        """Every program it runs."""
        return {side.program for case in self.cases for side in case.sides}


def sections(length: Length, threads: int) -> list[Section]:
    """Everything of this length, what takes longest last."""
    found = [
        _steps(length, threads), _peak(length, threads), _digits(length, threads), _loader(length, threads),
        _start(length, threads), _inference(length, threads), _mnist(length, threads),
    ]  # fmt: skip
    return [*found, _fashion(length, threads), _cifar10(length, threads)] if length.long else found


def with_rounds(section: Section, rounds: int) -> Section:
    """The section with another number of rounds. Several seeds have a mean only where none stops before the others."""

    def changed(side: Side) -> Side:
        job = {name: value for name, value in side.job.items() if name != "stop_at" or rounds == 1}
        return replace(side, rounds=rounds, job=job)

    cases = tuple(replace(case, sides=tuple(map(changed, case.sides))) for case in section.cases)
    return replace(section, cases=cases)


def without(section: Section, names: Collection[str]) -> Section:
    """The section without the sides of these names."""

    def kept(case: Case) -> Case:
        return replace(case, sides=tuple(side for side in case.sides if side.name not in names))

    return replace(section, cases=tuple(case for case in map(kept, section.cases) if case.sides))


def _step_job(network: str, length: Length, threads: int) -> Job:
    warmup, count, block, _ = length.steps[network]
    sizes = {"batch_size": BATCHES[network], "warmup": warmup, "count": count, "block": block}
    return {"task": "steps", "network": network, "threads": threads, **sizes}


def _steps(length: Length, threads: int) -> Section:
    cases: list[Case] = []
    for network, (_, _, _, rounds) in length.steps.items():
        job = _step_job(network, length, threads)
        sides = (
            Side("Sightline", "ours.py", job, rounds),
            Side("Keras", "keras_side.py", job, rounds),
            Side("plain PyTorch", "torch_side.py", job, rounds),
        )
        cases.append(Case(f"{network}, batch {BATCHES[network]}", sides, ("images_per_second",)))
    return Section("steps", "training images/s in steady state, synthetic images", tuple(cases))


def _peak(length: Length, threads: int) -> Section:
    sizes, repeats, rounds = length.peak
    machine = {"task": "peak", "sizes": list(sizes), "repeats": repeats, "threads": threads}
    cases = tuple(
        Case(
            f"{network}, batch {BATCHES[network]}",
            (
                Side("the machine", "ours_machine.py", machine, rounds),
                Side("Sightline", "ours.py", _step_job(network, length, threads), rounds),
            ),
        )
        for network in ("R2", "ResNet-18")
    )
    return Section("peak", "share of the measured peak of matrix products that a training step reaches", cases)


def _digits(length: Length, threads: int) -> Section:
    ours = {"task": "train", "recipe": "digits", "data": "digits", "threads": threads}
    if length.train_steps:
        ours["steps"] = length.train_steps
    sides = (
        Side("Sightline, digits", "ours.py", ours, length.digits, seeded=True),
        Side("scikit-learn's MLP", "sklearn_side.py", {"task": "digits"}, length.digits, seeded=True),
    )
    case = Case("the embedded digits", sides, ("seconds",))
    split = Side("the split", "ours.py", {"task": "digits_split"}, 1)
    return Section("digits", "scikit-learn's MLP on the same training and test images", (case,), prepares=split)


def _loader(length: Length, threads: int) -> Section:
    pictures, images, count, repeats, rounds = length.loader
    sizes = {"pictures": pictures, "images": images, "count": count, "repeats": repeats}
    side = Side("Sightline", "ours_machine.py", {"task": "loader", "threads": threads, **sizes}, rounds)
    return Section("loader", "decoding 32x32 JPEGs; a batch of the recipe cifar10", (Case("cifar10", (side,)),))


def _start(length: Length, threads: int) -> Section:
    short, long = length.start
    cases = (
        Case("sightline --help", (Side("Sightline", "start.py", {"task": "help"}, short),)),
        Case("import sightline", (Side("Sightline", "start.py", {"task": "import"}, short),)),
        Case(
            "sightline train digits, to the end of its first step",
            (Side("Sightline", "start.py", {"task": "first_step", "threads": threads}, long),),
        ),
    )
    return Section("start", "from the command's start, a fresh process each time", cases)


def _inference(length: Length, threads: int) -> Section:
    repeats, rounds = length.inference
    cases: list[Case] = []
    for network in ("R2", "ResNet-18"):
        job = {"task": "inference", "network": network, "repeats": repeats, "threads": threads}
        sides = (
            Side("Sightline", "ours.py", job, rounds),
            Side("eager PyTorch", "torch_side.py", job, rounds),
            Side("ONNX Runtime", "onnx_side.py", job, rounds),
        )
        cases.append(Case(network, sides, ("milliseconds_1", "milliseconds_256")))
    return Section("inference", "from decoded pixels to probabilities, float32", tuple(cases))


def _recipes(names: tuple[str, ...], data: str, seeds: int, length: Length, threads: int) -> tuple[Side, ...]:
    shorter = {"steps": length.train_steps} if length.train_steps else {}
    return tuple(
        Side(f"Sightline, {name}", "ours.py",
             {"task": "train", "recipe": name, "data": data, "threads": threads, **shorter}, seeds, seeded=True)
        for name in names
    )  # fmt: skip


def _mnist(length: Length, threads: int) -> Section:
    epochs, seeds = length.mnist
    target = 99.0
    job = _peer_train("mnist", epochs, length, threads)
    keras = {**job, "network": "R2", "batch_size": 128}
    if seeds == 1:
        keras["stop_at"] = target / 100
    sides = (
        *_recipes(("mnist-fast", "mnist", "mnist-best"), "mnist", seeds, length, threads),
        Side("Keras, R2 with Adam", "keras_side.py", keras, seeds, seeded=True),
    )
    case = Case("MNIST, against Keras' time to 99.0 %", sides, ("seconds",), target)
    return Section("accuracy-mnist", "training time and test accuracy", (case,), data="mnist")


def _peer_train(data: str, epochs: int, length: Length, threads: int) -> dict[str, Any]:
    job: dict[str, Any] = {"task": "train", "data": data, "epochs": epochs, "threads": threads}
    return job | ({"images": length.first_images} if length.first_images else {})


def _long_peer(data: str, length: Length, threads: int) -> dict[str, Any]:
    """A training of five epochs, or its first steps."""
    job = _peer_train(data, 1 if length.train_steps else 5, length, threads)
    return job | ({"first_steps": length.peer_steps} if length.peer_steps else {})


def _fashion(length: Length, threads: int) -> Section:
    job = _long_peer("fashion-mnist", length, threads) | {"task": "train_r3"}
    sides = (
        *_recipes(("fashion-mnist", "fashion-mnist-best"), "fashion-mnist", length.long, length, threads),
        Side("plain PyTorch, R3 as written", "torch_side.py", job, length.long, seeded=True),
    )
    case = Case("Fashion-MNIST", sides, ("seconds",))
    return Section("accuracy-fashion-mnist", "training time and test accuracy", (case,), data="fashion-mnist")


def _cifar10(length: Length, threads: int) -> Section:
    job = _long_peer("cifar10-folder", length, threads)
    keras = {**job, "network": "ResNet-18", "batch_size": 32}
    sides = (
        *_recipes(("cifar10", "cifar10-best"), "cifar10-folder", length.long, length, threads),
        Side("Keras, R4 as written", "keras_side.py", keras, length.long, seeded=True),
    )
    case = Case("CIFAR-10 (JPEG copy)", sides, ("seconds",))
    return Section("accuracy-cifar10", "training time and test accuracy", (case,), data="cifar10-folder")
