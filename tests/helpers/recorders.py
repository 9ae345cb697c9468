"""Recorders for a CPU, in the place of CUDA graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sightline.training.cuda_graph import Outputs, Work


class Again:
    """Replays by calling the function again."""

    def warm_up(self, work: Work) -> Outputs:
        return work()

    def record(self, work: Work) -> Work:
        return work


class Tape(TorchDispatchMode):
    """Writes down every operation without leaving a trace, and replays them on the same tensors, as a CUDA graph does.

    What the host computed while it was written is fixed: the function itself is not called again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for number, argument in enumerate(func._schema.arguments):
            # The schema of native_batch_norm conceals that it writes its running figures.
            hidden = func.__name__.startswith("native_batch_norm") and argument.name.startswith("running")
            if hidden or (argument.alias_info is not None and argument.alias_info.is_write):
                written = args[number] if number < len(args) else kwargs.get(argument.name)
                for tensor in tree_leaves(written):
                    if isinstance(tensor, torch.Tensor):
                        self.before.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        result = func(*args, **kwargs)
        self.entries.append((func, args, kwargs, result))
        return result

    @torch.no_grad()
    def rewind(self) -> None:
        for tensor, value in self.before.values():
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, was in self.entries:
            for old, new in zip(tree_leaves(was), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Tapes(Again):
    """A recorder as CudaGraphs is one; counts what it was asked for."""

    def __init__(self, *_: Any) -> None:
        self.warmed_up = self.recorded = 0

    def warm_up(self, work: Work) -> Outputs:
        self.warmed_up += 1
        return work()

    def record(self, work: Work) -> Work:
        self.recorded += 1
        state = torch.get_rng_state()
        with Tape() as tape:
            outputs = work()
        tape.rewind()
        torch.set_rng_state(state)

        def replay() -> Outputs:
            tape.replay()
            return outputs

        return replay
