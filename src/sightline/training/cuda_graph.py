"""A training step that a GPU takes without its host: first without waiting for it, then from a recording.

A GPU is given its work in small pieces, some two thousand a step; a small network's pieces are over before the next one
is given. `MaskedStep` never asks the device whether a loss was finite, so that the host runs ahead. `RecordedStep`
gives the whole step at once: what it does on the device is recorded as a CUDA graph and then replayed. What a replay
reads anew stands in tensors that stay where they are: batch, labels, the learning rate, the decay of the moving
average, and whether a loss has ever failed. Everything else is fixed by recording it.

Relied on (torch's notes on CUDA semantics, "CUDA Graphs"; torch issue 84614, pull requests 106916 and 84967):

- A replay draws its random numbers from the seed and offset that the default generator has then, so that seeding before
  each step holds for recorded steps too, and moves the generator on as the recorded operations would have.
- Fused SGD, Adam and AdamW read `found_inf` and a learning rate that is a tensor on the device, not on the host.
- Work that is recorded has run before on the same stream, since libraries set themselves up at their first call.
- A recording keeps its memory for itself, what it returns included, and writes it again at the next replay.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn

from sightline.device import Compute
from sightline.errors import UsageError
from sightline.settings import Settings
from sightline.training.backbone import TrainedPart
from sightline.training.ema import MovingAverage
from sightline.training.step import TrainingStep

# Steps taken before one is recorded: torch's notes take three.
WARM_UP_STEPS = 3

Outputs = tuple[torch.Tensor, torch.Tensor]
Work = Callable[[], Outputs]


class MaskedStep(TrainingStep):
    """A training step whose update is left out on the device, so that the host need not wait to know.

    The optimizer must be a fused one (optimizers.FUSED), which leaves everything as it is where `found_inf` is not 0.
    """

    def may_update(self, finite: torch.Tensor) -> bool:
        """Tell the optimizer, on the device, whether it may."""
        self.failed |= ~finite
        self.optimizer.found_inf = self.failed.float()  # pyright: ignore[reportAttributeAccessIssue]
        return True


class MaskedAverage(MovingAverage):
    """A moving average whose decay stands on the device, and which stays where it is once a loss has `failed`."""

    def __init__(self, model: nn.Module, decay: float, failed: torch.Tensor) -> None:
        super().__init__(model, decay)
        self._failed = failed
        self._one_minus_decay = torch.zeros((), device=failed.device)

    def prepare(self, step: int) -> None:
        """Set the decay of the update after step `step`, counted from 0."""
        super().prepare(step)
        self._one_minus_decay.fill_(1 - self.decay)

    def move(self) -> None:
        """Move the floating-point tensors."""
        weight = self._one_minus_decay * ~self._failed
        for average, current in zip(self.averages, self.current, strict=True):
            average.lerp_(current, weight.to(average.dtype))


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


class RecordedStep(MaskedStep):
    """A training step whose batches of the full size are replayed; others are taken piece by piece.

    Loss and logits are overwritten by the next step. The first steps, and the first after another part of the network
    began to be trained, are taken piece by piece to warm up; they count like all others. fp16 is not supported.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        compute: Compute,
        class_weights: torch.Tensor | None = None,
        *,
        recorder: Recorder,
    ) -> None:
        super().__init__(model, optimizer, settings, compute, class_weights)
        assert not self.scaler.is_enabled()
        if self.average is not None:
            self.average = MaskedAverage(model, self.average.final_decay, self.failed)
        for group in optimizer.param_groups:
            # In float32, since that is what the fused kernels read on a GPU.
            group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float32, device=compute.device)
        self._recorder = recorder
        self._part: TrainedPart | None = None
        self._warmed_up = 0
        self._replay: Work | None = None
        self._batch = self._labels = torch.empty(0)

    def __call__(
        self, part: TrainedPart, batch: torch.Tensor, labels: torch.Tensor, *, step: int, rate: float
    ) -> Outputs:
        """Take a step as TrainingStep does. Raises UsageError for a network that cannot be recorded."""
        if part is not self._part:
            self._part, self._warmed_up, self._replay = part, 0, None
        if len(labels) != self.settings.batch_size:
            return super().__call__(part, batch, labels, step=step, rate=rate)
        self.prepare(step, rate)
        if not self._warmed_up:
            self._batch, self._labels = torch.empty_like(batch), torch.empty_like(labels)
        self._batch.copy_(batch)
        self._labels.copy_(labels)
        if self._warmed_up < WARM_UP_STEPS:
            self._warmed_up += 1
            return self._recorder.warm_up(self._work)
        if self._replay is None:
            self._replay = self._record()
        return self._replay()

    def prepare(self, step: int, rate: float) -> None:
        """Set what changes from step to step, where the recording reads it."""
        for group in self.optimizer.param_groups:
            group["lr"].fill_(rate * group["lr_factor"])
        if self.average is not None:
            self.average.prepare(step)

    def _work(self) -> Outputs:
        assert self._part is not None
        return self.train_on(self._part, self._batch, self._labels)

    def _record(self) -> Work:
        try:
            with recordable(self.optimizer):
                return self._recorder.record(self._work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            advice = "Use --execution eager."
            raise UsageError("--execution", f"this step cannot be recorded ({reason})", advice=advice) from error


@contextmanager
def recordable(optimizer: torch.optim.Optimizer) -> Generator[None]:
    """Let a fused optimizer's update be recorded.

    Adam's checks the flag `capturable` while it is, and warns of it at all other times; to a fused update it means
    nothing else.
    """
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
