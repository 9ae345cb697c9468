"""torch's optimizers without its compiler, which they import otherwise, a second before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch


@cache
def uncompiled(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Give an optimizer of torch's that does without torch's compiler, whose import takes over a second.

    torch's own import it to keep some of their methods from being traced, which nobody tries here: their step is the
    function inside its wrapper, in the mode that the wrapper sets; and the other wrapped methods get the answer put
    where torch itself would keep it. Where a torch keeps it elsewhere, the import merely comes as before.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped: Any = getattr(method, "__wrapped__", None)
        if wrapped is not None:
            wrapped.__dict__.setdefault("__dynamo_disable", wrapped)
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(inspect.unwrap(kind.step))})
