"""Fitting a file's tensors to a network: what goes where, what stays fresh, and why a file does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sightline.errors import FileError
from sightline.models.network import Network
from sightline.models.pretrained.names import AUXILIARY, COUNTER, LAST_LAYER
from sightline.models.sprint import Whitening

SHOWN = 3
LAST_WEIGHT = "head.dense.weight"


@dataclass
class Fit:
    """Which of a network's tensors a file has. `loaded` and `fresh` are the network's names, the others the file's.

    `classes` and `channels` are (the file's, the network's). A file fits when `mismatch` is empty.
    """

    loaded: list[str] = field(default_factory=list[str])
    fresh: list[str] = field(default_factory=list[str])
    unused: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    unknown: list[str] = field(default_factory=list[str])
    other_shapes: list[str] = field(default_factory=list[str])
    """Sentences."""
    classes: tuple[int | None, int] = (None, 0)
    channels: tuple[int, int] = (0, 0)

    @property
    def mismatch(self) -> str:
        """Why the file does not fit, naming the first tensors of each kind."""
        parts = (("it lacks", self.missing), ("it has the extra", self.unknown), ("", self.other_shapes))
        return ", ".join(f"{what} {first_few(names)}".strip() for what, names in parts if names)


def fit(network: Network, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> Fit:
    """Find each tensor of `network` among the file's; `names` gives each one's name there. Nothing is changed.

    Last layers of other classes stay fresh, as do a last layer and auxiliary heads of which the file has nothing.
    """
    state = network.state_dict()
    first = first_convolution(network)
    theirs, kernel = tensors.get(names[LAST_WEIGHT]), tensors.get(names[first]) if first else None
    here = state[first].shape[1] if first else 0
    result = Fit(
        classes=(theirs.shape[0] if theirs is not None and theirs.ndim else None, state[LAST_WEIGHT].shape[0]),
        channels=(kernel.shape[1] if kernel is not None and kernel.ndim == 4 else here, here),
    )
    for name, target in state.items():
        found = tensors.get(names[name])
        if found is None:
            _lacking(result, name, names, tensors)
        elif _of_other_classes(name, state, tensors, names):
            result.fresh.append(name)
            result.unused.append(names[name])
        elif found.shape == target.shape or (name == first and _adaptable(found, target)):
            result.loaded.append(name)
        else:
            result.other_shapes.append(f"{names[name]} is {_size(found)} instead of {_size(target)}")
    known = set(names.values())
    for name in tensors:
        if name not in known:
            (result.unused if AUXILIARY.match(name) else result.unknown).append(name)
    return result


def _lacking(result: Fit, name: str, names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Note that the file lacks a tensor: no harm for a counter, and for a head of which it has nothing."""
    if name.endswith(COUNTER):
        return
    auxiliary = AUXILIARY.match(name)
    part = auxiliary[0] if auxiliary else "head.dense." if LAST_LAYER.match(name) else None
    whole = part is not None and not any(names[other] in tensors for other in names if other.startswith(part))
    if whole:
        result.fresh.append(name)
    else:
        result.missing.append(names[name])


def _of_other_classes(
    name: str, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], names: Mapping[str, str]
) -> bool:
    """Whether the tensor is of a last layer whose weights differ from the file's in their number of rows alone."""
    if not LAST_LAYER.match(name):
        return False
    weight = f"{name.rpartition('.')[0]}.weight"
    ours, theirs = state[weight], tensors.get(names[weight])
    return theirs is not None and theirs.shape[:1] != ours.shape[:1] and theirs.shape[1:] == ours.shape[1:]


def first_convolution(network: Network) -> str | None:
    """Name the kernel that sees the image's channels, None where no convolution does."""
    kernels = {nn.Conv2d: "weight", Whitening: "filters"}
    found = (
        f"body.{name}.{kernel}"
        for name, part in network.body.named_modules()
        for kind, kernel in kernels.items()
        if isinstance(part, kind)
    )
    return next(found, None)


def _adaptable(found: Tensor, target: Tensor) -> bool:
    """Whether the kernels differ in their channels alone, one against three."""
    if found.ndim != 4 or found.shape[:1] != target.shape[:1] or found.shape[2:] != target.shape[2:]:
        return False
    return {found.shape[1], target.shape[1]} == {1, 3}


def fill(
    network: Network, tensors: Mapping[str, Tensor], names: Mapping[str, str], loaded: Sequence[str], subject: str
) -> None:
    """Copy the file's tensors into those of `network` that are `loaded`, adapted and in their own precision.

    Raises FileError, before anything is changed, where one is not made of finite floats, naming the file's tensors.
    """
    state = network.state_dict()
    first = first_convolution(network)
    strange = [names[name] for name in loaded if not _is_plain(tensors[names[name]], state[name])]
    if strange:
        raise FileError(subject, f"it has no plain floats in {first_few(strange)}", "weights of 16, 32 or 64 bits")
    values = {name: tensors[names[name]].detach().to(state[name].dtype) for name in loaded}
    broken = [names[name] for name, value in values.items() if not torch.isfinite(value).all()]
    if broken:
        raise FileError(subject, f"it has NaN or infinity in {first_few(broken)}", "finite weights")
    with torch.no_grad():
        for name, value in values.items():
            state[name].copy_(adapt_channels(value, state[name].shape[1]) if name == first else value)


def _is_plain(found: Tensor, target: Tensor) -> bool:
    return found.layout == torch.strided and (found.is_floating_point() or not target.is_floating_point())


def adapt_channels(kernel: Tensor, channels: int) -> Tensor:
    """Turn a first convolution's kernel (C', C, h, w) into one for gray (1) or colour (3) images.

    Summed over its channels, it answers to a gray image as it did to that image's copy in three channels; divided by
    three, it answers to that copy as it did to the gray image.
    """
    if kernel.shape[1] == channels:
        return kernel
    if channels == 1:
        return kernel.sum(dim=1, keepdim=True)
    return (kernel / channels).expand(-1, channels, -1, -1)


def first_few(names: Sequence[str]) -> str:
    """Join the first names, with a count of the others; what a terminal could take for a command is escaped."""
    more = len(names) - SHOWN
    shown = [name if name.isprintable() else ascii(name) for name in names[:SHOWN]]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
