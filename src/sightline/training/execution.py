"""How a run's steps are executed: one after the other, compiled, or recorded as a CUDA graph.

On a CPU there is nothing to choose but compiling. `choose_execution` decides, `build_step` makes the step.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

import torch
from torch import nn

from sightline.device import Compute
from sightline.settings import Settings
from sightline.settings.optimizer import AdamSettings
from sightline.training.backbone import Forward
from sightline.training.batches import BatchOrder
from sightline.training.cuda_graph import CudaGraphs, MaskedStep, RecordedStep
from sightline.training.optimizers import uses_fused
from sightline.training.step import TrainingStep

# From how many steps on a form costs less time than it saves: what recording (or compiling) takes, over what it then
# saves a step. Guesses until benchmarks/gpu.py has run on a GPU, which prints both and the quotient: half a second
# over a millisecond for a graph, a minute over some milliseconds for compiling.
GRAPH_FROM_STEPS = 500
COMPILE_FROM_STEPS = 20_000


@dataclass(frozen=True)
class Execution:
    """How a run's steps are executed, and the line that says so and why; None where there was nothing to decide."""

    compiled: bool = False
    recorded: bool = False
    line: str | None = None


def choose_execution(settings: Settings, compute: Compute, order: BatchOrder, total_steps: int) -> Execution:
    """Choose by the settings and the length of the run, so that a resumed run goes on in the same way.

    A run that is made longer decides anew, and may then go on in another form, with other rounding.
    """
    requested = settings.device.execution
    if compute.device.type != "cuda":
        return Execution(compiled=requested == "compile")
    short = len(order.indices(order.steps_per_epoch - 1))
    obstacle = _obstacle(settings, compute, order)
    if requested == "auto":
        compiled = total_steps >= COMPILE_FROM_STEPS and settings.model is not None and can_compile()
        recorded = total_steps >= GRAPH_FROM_STEPS and obstacle is None
        limits = f"recording pays off from {GRAPH_FROM_STEPS:,}, compiling from {COMPILE_FROM_STEPS:,}"
        why = [f"{total_steps:,} steps, and {limits}"]
    else:
        compiled, recorded = requested == "compile", requested != "eager" and obstacle is None
        why = ["as requested"] if requested == "eager" or recorded or compiled else [f"{requested} was requested"]
    if requested != "eager" and obstacle is not None:
        why.append(f"no graph, since {obstacle}")
    if recorded and short != order.batch_size:
        why.append(f"the last batch of an epoch, of {short}, runs eagerly")
    form = {(False, False): "eagerly", (True, False): "compiled", (False, True): "as a CUDA graph"}
    how = form.get((compiled, recorded), "compiled, as a CUDA graph")
    return Execution(compiled, recorded, f"steps run {how}: {'; '.join(why)}")


def build_step(
    execution: Execution,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    compute: Compute,
    class_weights: torch.Tensor | None,
) -> TrainingStep:
    """Make the step: plain on a CPU; on a GPU one that its host need not wait for, where the optimizer allows it."""
    if execution.recorded:
        recorder = CudaGraphs(compute.device)
        return RecordedStep(model, optimizer, settings, compute, class_weights, recorder=recorder)
    masked = compute.device.type == "cuda" and uses_fused(settings, compute) and compute.precision != "fp16"
    return (MaskedStep if masked else TrainingStep)(model, optimizer, settings, compute, class_weights)


def compiled_forward(model: nn.Module, batch_size: int) -> Forward:
    """`model`, compiled for batches of one size: another, such as an epoch's last, is not worth compiling again.

    Without torch.compile's own CUDA graphs ("reduce-overhead"), since RecordedStep's take in the optimizer too, and
    without its search for the fastest kernels ("max-autotune"), which takes minutes.
    """
    compiled: Forward = torch.compile(model)  # pyright: ignore[reportAssignmentType]

    def forward(images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return (compiled if len(images) == batch_size else model)(images)

    return forward


def _obstacle(settings: Settings, compute: Compute, order: BatchOrder) -> str | None:
    """Say what stands against recording; a step that the host takes part in cannot be."""
    optimizer = settings.optimizer
    if compute.precision == "fp16":
        return "the loss scaling of fp16 asks the host at each step"
    if not uses_fused(settings, compute):
        return f"only fused optimizers can leave out an update by themselves, and {optimizer.optimizer} is none here"
    if isinstance(optimizer, AdamSettings) and optimizer.eps_hat:
        return "eps_hat sets another eps at each step"
    if len(order.indices(0)) != order.batch_size:
        return "no batch has the full size"
    if settings.model is None and settings.device.execution != "graph":
        return 'a module of your own may ask the host (execution="graph" tries)'
    return None


def can_compile() -> bool:
    """Whether torch.compile has what it needs for a GPU: Triton, and a C compiler for its launchers."""
    return importlib.util.find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))
