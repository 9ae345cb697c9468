"""Any classifier of the library timm as a body and a head: its features, its pooling, and a last layer of ours."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.models.convolution import Conv2d, is_faulty
from sightline.models.initializers import initialize
from sightline.models.network import Network
from sightline.recipes.timm_catalog import import_timm, timm_entry
from sightline.settings.model import TimmSettings

PREFIX = "body.timm.network."
"""What stands before timm's own names of tensors in ours."""


class TimmFeatures(nn.Module):
    """A network of timm without its last layer. Its answer is timm's `forward_features`.

    Maps (N, C', H', W'), whichever way round timm has them; tokens (N, T, C') of a transformer; a list of several where
    the network has branches. `made_with` is what timm's `create_model` was given beside the name.
    """

    def __init__(self, network: Any, made_with: Mapping[str, Any]) -> None:
        super().__init__()
        self.network: Any = _mended(network)
        self.made_with = made_with
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> features."""
        features = self.network.forward_features(x)
        return features.permute(0, 3, 1, 2) if self.channels_last else features


class TimmPooling(nn.Module):
    """What a network of timm does between its features and its last layer, a pooling most often and a norm.

    Its tensors belong to the body, where the network lies, and are frozen with it.
    """

    def __init__(self, features: TimmFeatures) -> None:
        super().__init__()
        # In a tuple, since a module's attributes become parts of it.
        self._features = (features,)

    def forward(self, features: Tensor) -> Tensor:
        """Features as `TimmFeatures` gives them -> (N, C)."""
        (body,) = self._features
        return body.network.forward_head(features.permute(0, 2, 3, 1) if body.channels_last else features)


class TokenMaps(nn.Module):
    """A transformer's norm, whose answer shows as maps in `maps`: its last tokens, which are those of the patches.

    `grid` is how many patches there are, (h, w); the tokens before them stand for the whole picture.
    """

    def __init__(self, norm: nn.Module, grid: tuple[int, int]) -> None:
        super().__init__()
        self.norm = norm
        self.grid = grid
        self.maps = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, P + h * w, C) -> the same shape. Raises UsageError where there are fewer tokens than patches."""
        x = self.norm(x)
        prefix = x.shape[1] - self.grid[0] * self.grid[1]
        if prefix < 0:
            raise UsageError("--explain", "this network has no feature maps", "a network whose features are maps")
        maps = self.maps(x[:, prefix:].transpose(1, 2).unflatten(2, self.grid))
        return torch.cat([x[:, :prefix], maps.flatten(2).transpose(1, 2)], dim=1)


class TimmNetwork(Network):
    """A `Network` whose body holds a network of timm."""

    @contextmanager
    def explained(self) -> Generator[nn.Module]:
        """Give the part whose answer is maps; of a transformer the norm before its last attention, as is usual."""
        features: Any = self.body.timm
        network: Any = features.network
        blocks, grid = (
            getattr(network, "blocks", None),
            getattr(getattr(network, "patch_embed", None), "grid_size", None),
        )
        if blocks is None or grid is None or not hasattr(list(blocks)[-1], "norm1"):
            yield self.body
            return
        last: Any = list(blocks)[-1]
        last.norm1 = TokenMaps(last.norm1, tuple(grid))
        try:
            yield last.norm1.maps
        finally:
            last.norm1 = last.norm1.norm

    def to_empty(self, *, device: str | torch.device | int | None, recurse: bool = True) -> Self:
        """Give the tensors memory on `device`; what is in no file, such as tables of positions, is computed."""
        super().to_empty(device=device, recurse=recurse)
        for module in self.modules():
            for name in module._non_persistent_buffers_set:
                buffer = module._buffers[name]
                module._buffers[name] = None if buffer is None else torch.empty_like(buffer, device=device)
        for module in self.modules():
            if hasattr(module, "init_non_persistent_buffers"):
                module.init_non_persistent_buffers()  # pyright: ignore[reportCallIssue]
        return self


def lay_out_timm(settings: TimmSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> TimmNetwork:
    """Lay out a network of timm on torch's current device, with timm's own initial weights where that has values.

    Raises UsageError for a network that timm does not have, and for a size it is not built for.
    """
    features = _create(settings, channels, image_size)
    network = features.network
    width = int(getattr(network, "head_hidden_size", None) or network.num_features)
    head = OrderedDict[str, nn.Module](
        pool=TimmPooling(features), dropout=nn.Dropout(settings.dropout), dense=nn.Linear(width, num_classes)
    )
    return TimmNetwork(nn.Sequential(OrderedDict(timm=features)), nn.Sequential(head))


def build_timm(
    settings: TimmSettings, channels: int, image_size: tuple[int, int], num_classes: int, generator: torch.Generator
) -> TimmNetwork:
    """Build one on the CPU with fresh weights: timm's, of a seed from `generator`, and ours in the last layer.

    Errors as in `lay_out_timm`; also UsageError for images that are too small.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = lay_out_timm(settings, channels, image_size, num_classes)
    initialize(network.head, settings.init, generator)
    _check_size(network, settings, channels, image_size)
    return network


def _create(settings: TimmSettings, channels: int, image_size: tuple[int, int]) -> TimmFeatures:
    """Make timm's network without a last layer, and without dropout, which our head has."""
    entry, timm = timm_entry(settings.architecture), import_timm()
    flags: dict[str, Any] = {"num_classes": 0, "in_chans": channels, "drop_path_rate": settings.drop_path or None}
    if entry.fixed_side:
        flags["img_size"] = image_size
    try:
        return TimmFeatures(timm.create_model(settings.architecture, **flags), flags)
    except TypeError as error:
        if "drop_path_rate" in str(error):
            found = f"timm/{settings.architecture} has no residual branches to leave out"
            raise UsageError("--drop-path", found, advice="Leave it out.") from error
        if "img_size" not in str(error):
            raise
        if image_size != (entry.side, entry.side):
            raise _other_size(settings, image_size) from error
        del flags["img_size"]
        return TimmFeatures(timm.create_model(settings.architecture, **flags), flags)
    except (RuntimeError, ValueError, AssertionError) as error:  # a side that its patches or windows do not divide
        raise _other_size(settings, image_size) from error


def _mended(network: nn.Module) -> nn.Module:
    """The same network, with convolutions of ours where torch's own gradient is faulty."""
    for module in network.modules():
        if type(module) is not nn.Conv2d or module.groups > 1 or module.padding != (0, 0):
            continue
        if is_faulty(module.weight, module.stride[0], 0):
            module.__class__ = Conv2d
    return network


def _check_size(network: TimmNetwork, settings: TimmSettings, channels: int, image_size: tuple[int, int]) -> None:
    """Let the network see one image."""
    network.eval()
    try:
        with torch.no_grad():  # not inference mode, whose tensors a network that keeps tables could not train with
            network(torch.zeros(1, channels, *image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _other_size(settings, image_size) from error
    network.train()


def _other_size(settings: TimmSettings, image_size: tuple[int, int]) -> UsageError:
    height, width = image_size
    side = timm_entry(settings.architecture).side
    found = f"timm/{settings.architecture} cannot take {height}x{width}"
    return UsageError("--image-size", found, f"{side}, which it was made for, or another side that it can take")
