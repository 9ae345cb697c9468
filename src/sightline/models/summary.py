"""What a network is made of: each part's output shape, parameters and multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.models.sprint import Whitening
from sightline.models.timm_network import PREFIX, TimmFeatures
from sightline.runs.records import NetworkPart

# Up to here an image is really computed, in less time than torch needs to import what works without values.
COMPUTED_PIXELS = 256 * 256


@dataclass(frozen=True)
class ModelSummary:
    """The parts of a model in order, and its totals, for an input of shape `input` (1, C, H, W).

    1 MAC is one multiply-add of a convolution or a dense layer; biases, norms, activations and poolings are not
    counted.
    """

    input: tuple[int, int, int, int]
    parts: tuple[NetworkPart, ...]
    parameters: int
    macs: int

    def to_dict(self) -> dict[str, Any]:
        """Give the same as plain dictionaries and tuples, for JSON or YAML."""
        return asdict(self)


def summarize(model: nn.Module, channels: int, image_size: tuple[int, int]) -> ModelSummary:
    """Describe `model` for one image of `channels` and `image_size` (H, W), in evaluation mode.

    The model itself is neither run nor changed: a copy is run in its place, and for a large image one without storage
    (torch's meta device). Sequences and networks of timm are opened into their members; every other module is one part.
    Raises UsageError when the model cannot take such an image.
    """
    shape = (1, channels, *image_size)
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    if image_size[0] * image_size[1] > COMPUTED_PIXELS:
        device = torch.device("meta")
    twin = _copy(model, device).eval()
    outputs: dict[str, tuple[int, ...]] = {}
    macs: dict[str, int] = {}
    for name, module in twin.named_modules():
        module.register_forward_hook(_recorder(name, outputs, macs))
    try:
        with torch.no_grad():
            twin(torch.zeros(shape, device=device))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UsageError("model", f"it cannot take an input of {'x'.join(map(str, shape))} ({reason})") from error
    parts = tuple(
        NetworkPart(
            name=name or "(itself)",
            type=type(part).__name__,
            # A network of timm is not called itself: its features are what it gives.
            output=outputs.get(name, outputs.get(name.removesuffix(".network"))),
            parameters=sum(p.numel() for p in part.parameters(recurse=whole)),
            macs=sum(count for owner, count in macs.items() if _belongs(owner, name, whole)),
        )
        for name, part, whole in _parts(model, "")
    )
    return ModelSummary(shape, parts, sum(p.numel() for p in model.parameters()), sum(macs.values()))


def _copy(model: nn.Module, device: torch.device) -> nn.Module:
    """Copy `model` but for its parameters, which stay the same; to the meta device without any values.

    deepcopy takes from the memo what it finds there.
    """
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    if device.type == "meta":
        memo = {
            id(parameter): nn.Parameter(torch.empty_like(parameter, device=device), parameter.requires_grad)
            for parameter in model.parameters()
        }
        memo |= {id(buffer): torch.empty_like(buffer, device=device) for buffer in model.buffers()}
    return copy.deepcopy(model, memo)


def _recorder(name: str, outputs: dict[str, tuple[int, ...]], macs: dict[str, int]) -> Any:
    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        outputs[name] = tuple(output.shape)
        kernels = module.filters if isinstance(module, Whitening) else getattr(module, "weight", None)
        if kernels is not None and isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear | Whitening):
            macs[name] = macs.get(name, 0) + output.numel() * kernels[0].numel()

    return record


def _parts(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module, bool]]:
    """Give (name, module, whether its children are part of it) for every row."""
    children = list(module.named_children())
    opened = not name or type(module) in (nn.Sequential, nn.ModuleList, TimmFeatures) or f"{name}." == PREFIX
    if not children or not opened:
        yield name, module, True
        return
    if any(True for _ in module.parameters(recurse=False)):
        yield name, module, False
    for child_name, child in children:
        yield from _parts(child, f"{name}.{child_name}" if name else child_name)


def _belongs(owner: str, part: str, whole: bool) -> bool:
    return owner == part or (whole and (not part or owner.startswith(f"{part}.")))
