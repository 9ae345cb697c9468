"""Starting a whole training step at once: what it does on the device is recorded as a CUDA graph and then replayed.

A GPU is given its work in small pieces, some two thousand a step; a small network's pieces are over before the next one
is given. A recording is given once. What it reads anew at each replay stands in tensors that stay where they are:
images, labels, the learning rate, the share of the moving average, and whether a loss has ever failed. Everything
else is fixed by recording it.

Relied on (torch's notes on CUDA semantics, "CUDA Graphs"; torch issue 84614, pull requests 106916 and 84967):

- A replay draws its random numbers from the seed and offset that the default generator has then, so that seeding before
  each step holds for recorded steps too, and moves the generator on as the recorded operations would have.
- Fused SGD, Adam and AdamW read `found_inf` and a learning rate that is a tensor on the device, not on the host.
- Work that is recorded has run before on the same stream, since libraries set themselves up at their first call.
- A recording keeps its memory for itself, what it returns included, and writes it again at the next replay.
"""

from __future__ import annotations

import gc
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from sightline.device import Compute
from sightline.errors import UsageError
from sightline.settings import Settings
from sightline.settings.optimizer import AdamSettings
from sightline.training.batches import BatchOrder
from sightline.training.optimizers import FUSED, recordable
from sightline.training.step import TrainingStep

# Steps taken before one is recorded: torch's notes take three.
WARM_UP_STEPS = 3
# From how many steps on a form costs less time than it saves: what recording (or compiling) takes, over what it then
# saves a step. Guesses until benchmarks/gpu.py has run on a GPU, which prints both and the quotient: half a second
# over a millisecond for a graph, a minute over some milliseconds for compiling.
GRAPH_FROM_STEPS = 500
COMPILE_FROM_STEPS = 20_000

Outputs = tuple[torch.Tensor, torch.Tensor]
Work = Callable[[], Outputs]


@dataclass(frozen=True)
class Execution:
    """How a run's steps are executed, and the line that says so and why; None where there was nothing to decide."""

    compiled: bool = False
    recorded: bool = False
    line: str | None = None


def decide(settings: Settings, compute: Compute, order: BatchOrder, total_steps: int) -> Execution:
    """Choose by the settings and the length of the run, so that a resumed run goes on in the same way.

    A run that is made longer decides anew, and may then go on in another form, with other rounding.
    """
    asked = settings.device.execution
    if compute.device.type != "cuda":
        return Execution(compiled=asked == "compile")
    short = len(order.indices(order.steps_per_epoch - 1))
    obstacle = _obstacle(settings, compute, order)
    if asked == "auto":
        compiled = total_steps >= COMPILE_FROM_STEPS and settings.model is not None and _can_compile()
        recorded = total_steps >= GRAPH_FROM_STEPS and obstacle is None
        limits = f"recording pays from {GRAPH_FROM_STEPS:,} on, compiling from {COMPILE_FROM_STEPS:,}"
        why = [f"{total_steps:,} steps, and {limits}"]
    else:
        compiled, recorded = asked == "compile", asked != "eager" and obstacle is None
        why = ["as asked"] if asked == "eager" or recorded or compiled else [f"{asked} was asked for"]
    if asked != "eager" and obstacle is not None:
        why.append(f"no graph, since {obstacle}")
    if recorded and short != order.batch_size:
        why.append(f"an epoch's last batch, of {short}, eagerly")
    form = {(False, False): "eagerly", (True, False): "compiled", (False, True): "as a CUDA graph"}
    how = form.get((compiled, recorded), "compiled, as a CUDA graph")
    return Execution(compiled, recorded, f"steps run {how}: {'; '.join(why)}")


def _obstacle(settings: Settings, compute: Compute, order: BatchOrder) -> str | None:
    """Say what stands against recording; a step that the host takes part in cannot be."""
    optimizer = settings.optimizer
    if compute.precision == "fp16":
        return "the loss scaling of fp16 asks the host at each step"
    if optimizer.optimizer not in FUSED or not settings.device.fused:
        return f"only fused optimizers can leave out an update by themselves, and {optimizer.optimizer} is none here"
    if isinstance(optimizer, AdamSettings) and optimizer.eps_hat:
        return "eps_hat sets another eps at each step"
    if len(order.indices(0)) != order.batch_size:
        return "no batch has the full size"
    if settings.model is None and settings.device.execution != "graph":
        return "a module of your own may ask the host; --execution graph tries"
    return None


def _can_compile() -> bool:
    """Whether torch.compile has what it needs for a GPU: Triton, and a C compiler for its launchers."""
    return importlib.util.find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))


class Recorder(Protocol):
    """Runs work on the device so that it can be recorded, and records it."""

    def warm_up(self, work: Work) -> Outputs:
        """Do the work once, as it will be recorded."""
        ...

    def record(self, work: Work) -> Work:
        """Record the work without doing it. Calling what comes back does it, with the same tensors as outputs."""
        ...


class CudaGraphs:
    """Records on a stream of its own, which is also the one to warm up on."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, work: Work) -> Outputs:
        """Do the work on the recording stream, in its turn among what else is queued."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = work()
        current.wait_stream(self._stream)
        return outputs

    def record(self, work: Work) -> Work:
        """Record a CUDA graph."""
        gc.collect()  # Python could otherwise free a dead graph while this one is recorded, which would spoil it
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            outputs = work()

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay


class RecordedStep:
    """A training step whose batches of the full size are replayed; others are taken step by step.

    Loss and logits are overwritten by the next step. The first steps, and the first after `begin_epoch` found that
    another part of the network is trained, are taken eagerly to warm up; they count like all others.
    """

    def __init__(self, take_step: TrainingStep, batch_size: int, recorder: Recorder) -> None:
        self._take_step, self._batch_size, self._recorder = take_step, batch_size, recorder
        take_step.keep_on_device()
        self._trained: object = None
        self._warmed_up = 0
        self._replay: Work | None = None
        self._inputs = self._labels = torch.empty(0)

    def begin_epoch(self) -> None:
        """Forget the recording if from now on another network, or more of it, is trained."""
        step = self._take_step
        trained = (step.forward, step.input_step, [parameter.requires_grad for parameter in step.parameters])
        if trained != self._trained:
            self._trained, self._warmed_up, self._replay = trained, 0, None

    def __call__(self, step: int, inputs: torch.Tensor, labels: torch.Tensor) -> Outputs:
        """Take step `step` as TrainingStep does. Raises UsageError for a network that cannot be recorded."""
        if len(labels) != self._batch_size:
            return self._take_step(step, inputs, labels)
        self._take_step.prepare(step)
        if not self._warmed_up:
            self._inputs, self._labels = torch.empty_like(inputs), torch.empty_like(labels)
        self._inputs.copy_(inputs)
        self._labels.copy_(labels)
        if self._warmed_up < WARM_UP_STEPS:
            self._warmed_up += 1
            return self._recorder.warm_up(self._work)
        if self._replay is None:
            self._replay = self._record()
        return self._replay()

    def _work(self) -> Outputs:
        return self._take_step.train_on(self._inputs, self._labels)

    def _record(self) -> Work:
        try:
            with recordable(self._take_step.optimizer):
                return self._recorder.record(self._work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            advice = "use --execution eager"
            raise UsageError("--execution", f"this step cannot be recorded ({reason})", advice=advice) from error
