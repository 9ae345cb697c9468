"""The runs of a comparison: begun, gone on with or already there, one after the other or several at a time.

A run in a process of its own is asked to stop when the pipe that it reads ends, so that it stops with a checkpoint
however the process that started it went.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightline import data as data_room
from sightline.comparison.folder import ComparisonFolder, ComparisonPlan
from sightline.errors import Interrupted, SightlineError
from sightline.files import sums
from sightline.runs.folder import RunFolder
from sightline.training.reporter import make_reporter, told_once
from sightline.training.resume import begin_or_resume

if TYPE_CHECKING:
    from sightline.data import ImageData
    from sightline.settings import DataSettings
    from sightline.training.reporter import Reporter

START_WORKER = "from sightline.comparison.running import work; work()"


@dataclass(frozen=True)
class Job:
    """One run of a comparison: `side` counts from 0."""

    folder: ComparisonFolder
    side: int
    name: str
    seed: int

    @property
    def run_name(self) -> str:
        """The run's folder before its number."""
        return self.folder.run_name(self.side, self.name, self.seed)

    def finished(self) -> RunFolder | None:
        """The run if it is there and tested."""
        return self.folder.runs.find_finished(self.run_name)


class ImagesOnce:
    """Datasets that are already loaded, by their settings: the runs of a comparison share them."""

    def __init__(self) -> None:
        self._loaded: dict[DataSettings, ImageData] = {}

    def load(self, settings: DataSettings) -> ImageData:
        """Load, or give what was loaded before for the same pixels and test images."""
        # Neither decides what is read.
        key = settings.replace(normalize="unit", mean=None, std=None, validation=0.0)
        if key not in self._loaded:
            self._loaded[key] = data_room.load(settings)
        return self._loaded[key]


def jobs_of(folder: ComparisonFolder, plan: ComparisonPlan) -> list[Job]:
    """List all runs of a plan, seed by seed, so that the sides grow alike."""
    return [Job(folder, side, it.name, seed) for seed in plan.seeds for side, it in enumerate(plan.sides)]


def run_all(
    folder: ComparisonFolder, plan: ComparisonPlan, *, processes: int, images: ImagesOnce, reporter: Reporter
) -> None:
    """Bring every run of a plan to its end. Raises what a run raises, naming side and seed, and Interrupted."""
    jobs = jobs_of(folder, plan)
    left = [job for job in jobs if job.finished() is None]
    if len(left) < len(jobs):
        reporter.note(f"{len(jobs) - len(left)} of {len(jobs)} runs are already finished")
    if processes > 1 and len(left) > 1:
        _run_apart(left, processes, reporter)
        return
    once = told_once(reporter)
    for number, job in enumerate(left, start=1):
        reporter.note(f"run {number} of {len(left)}: {job.name}, seed {job.seed}")
        with _named(job):
            run_one(job, plan, images, once)


def run_one(job: Job, plan: ComparisonPlan, images: ImagesOnce, reporter: Reporter) -> None:
    """Begin a run, or go on with it, to its end. Raises ResourceError where another process is working on it."""
    settings = plan.sides[job.side].settings.replace(seed=job.seed)
    begin_or_resume(job.folder.runs, job.run_name, settings, images.load(settings.data), reporter)


@contextlib.contextmanager
def _named(job: Job) -> Generator[None]:
    """Say of which side and seed an error is, and how to go on."""
    try:
        yield
    except Interrupted as error:
        raise interrupted(job.folder) from error
    except SightlineError as error:
        subject = f"{job.name}, seed {job.seed}: {error.subject}"
        raise type(error)(subject, error.found, error.expected, error.advice) from error


def interrupted(folder: ComparisonFolder) -> Interrupted:
    """Say that a comparison was stopped, and how it goes on."""
    return Interrupted(
        str(folder.path),
        "stopped",
        advice=f"What was trained is kept. Continue with: sightline compare --resume {folder.path}",
    )


def _run_apart(jobs: list[Job], processes: int, reporter: Reporter) -> None:
    workers: list[_Worker] = []
    stopping = threading.Event()

    def run(job: Job) -> None:
        if stopping.is_set():
            return
        log = job.folder.log_path(job.run_name).relative_to(job.folder.path)
        with sums.rewriting(job.folder.path, log.as_posix()):
            worker = _Worker(job)
            workers.append(worker)
            worker.wait()

    with ThreadPoolExecutor(processes) as pool:
        waiting: dict[Future[None], Job] = {pool.submit(run, job): job for job in jobs}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    future.result()
                    left = len(waiting)
                    reporter.note(f"{job.name}, seed {job.seed}: done, {left} run{'' if left == 1 else 's'} left")
        except BaseException as error:
            stopping.set()
            for worker in workers:
                worker.stop()
            if isinstance(error, KeyboardInterrupt):
                raise interrupted(jobs[0].folder) from error
            raise


class _Worker:
    """A run in a process of its own, seen from the one that asks."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._log = job.folder.log_path(job.run_name)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(job.folder.path), str(job.side), str(job.seed)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START_WORKER, *words],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait for its end. Raises a SightlineError with the run's last line where it failed."""
        code = self._process.wait()
        self.stop()
        if code == 0:
            return
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        last = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
        subject = f"{self._job.name}, seed {self._job.seed}"
        raise _error_kind(code)(subject, last, advice=f"See {self._log}.")

    def stop(self) -> None:
        """Ask it to stop with a checkpoint."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _error_kind(code: int) -> type[SightlineError]:
    kinds: list[type[SightlineError]] = [SightlineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind for kind in kinds if kind.exit_code == code), SightlineError)


def work() -> None:
    """Make one run in this process, a worker's, and leave it with the exit code of what happened."""
    place, side, seed = sys.argv[-3:]
    threading.Thread(target=_stop_at_the_end_of_stdin, daemon=True).start()
    folder = ComparisonFolder(Path(place))
    try:
        plan = folder.plan()
        job = Job(folder, int(side), plan.sides[int(side)].name, int(seed))
        run_one(job, plan, ImagesOnce(), make_reporter())
    except SightlineError as error:
        print(f"error: {error.line()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)


def _stop_at_the_end_of_stdin() -> None:
    # Not through sys.stdin, whose lock a thread must not hold while Python ends.
    os.read(0, 1)
    _thread.interrupt_main()
