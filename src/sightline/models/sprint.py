"""The family `sprint`: nets built for the shortest time to an accuracy, from few wide layers.

What it takes from the published speed records (D. Page's "How to train your ResNet", 2018; K. Jordan's "94% on
CIFAR-10 in 3.29 seconds", arXiv 2404.00498): a first layer that is computed from the training images instead of
trained, pooling in front of the norm, convolutions that start as the identity, and scaled logits. What each of them is
worth here stands in docs/log.md.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.models.convolution import Conv2d
from sightline.models.network import Network
from sightline.settings.model import SprintSettings

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


class Whitening(nn.Module):
    """A convolution whose kernels are fixed: the principal components of image patches, scaled to variance 1.

    Each component stands in it twice, the second time negated, so that behind an activation nothing is lost. `filters`
    is a buffer, float (2 * C * k * k, C, k, k); only the bias is trained. Until `fit` it passes each patch's pixels.
    """

    filters: Tensor

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        size = channels * kernel * kernel
        self.stride = stride
        self.register_buffer("filters", torch.empty(2 * size, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(2 * size))

    def reset_parameters(self) -> None:
        """Pass each pixel of a patch by itself, and its negative."""
        pixels = torch.eye(self.filters[0].numel()).view(-1, *self.filters.shape[1:])
        self.filters.copy_(torch.cat([pixels, -pixels]))
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def fit(self, images: Tensor, eps: float) -> None:
        """Take the components of every patch of `images`, float (N, C, H, W); `eps` is added to each variance."""
        _, channels, kernel, _ = self.filters.shape
        patches = images.unfold(2, kernel, 1).unfold(3, kernel, 1)  # N, C, H', W', k, k
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * kernel * kernel)
        variances, components = torch.linalg.eigh(rows.T.double().cov())
        # An eigenvector's sign is the library's choice; taken so that its largest entry is positive, it is the same on
        # every machine.
        largest = components.abs().argmax(0)
        components = components * components.gather(0, largest[None]).sign()
        scaled = (components / (variances.clamp(min=0) + eps).sqrt()).T.flip(0)
        filters = scaled.reshape(-1, channels, kernel, kernel).to(self.filters.dtype)
        self.filters.copy_(torch.cat([filters, -filters]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2 * C * k * k, (H - k) // stride + 1, (W - k) // stride + 1)."""
        return F.conv2d(x, self.filters.to(x.dtype), self.bias.to(x.dtype), self.stride)


class Activated(nn.Module):
    """A layer, then the activation."""

    def __init__(self, layer: nn.Module, activation: str) -> None:
        super().__init__()
        self.layer = layer
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the layer's shape."""
        return self.activation(self.layer(x))


class Stage(nn.Module):
    """3x3 convolutions, each with batch norm and activation; the first with 2x2 max pooling in front of its norm.

    Pooling first leaves norm and activation a quarter of the work. With `residual` the input of the second convolution
    is added behind the last.
    """

    def __init__(self, entering: int, leaving: int, settings: SprintSettings) -> None:
        super().__init__()
        widths = (entering, *[leaving] * settings.stage_convs)
        momentum = 1 - settings.bn_decay
        self.convs = nn.ModuleList(
            Conv2d(widths[i], leaving, 3, padding=1, bias=False) for i in range(settings.stage_convs)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(leaving, settings.bn_eps, momentum) for _ in self.convs)
        self.activation = ACTIVATIONS[settings.activation]
        self.residual = settings.residual and settings.stage_convs > 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, H // 2, W // 2)."""
        first, *others = zip(self.convs, self.norms, strict=True)
        conv, norm = first
        x = self.activation(norm(F.max_pool2d(conv(x), 2)))
        shortcut = x
        for conv, norm in others:
            x = self.activation(norm(conv(x)))
        return x + shortcut if self.residual else x


class GlobalMax(nn.Module):
    """The largest value over height and width, of any size."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return x.amax(dim=(2, 3))


class ScaledLinear(nn.Linear):
    """A dense layer without bias whose output is multiplied by a constant."""

    def __init__(self, entering: int, leaving: int, scale: float) -> None:
        super().__init__(entering, leaving, bias=False)
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) -> (N, K)."""
        return F.linear(input, self.weight) * self.scale


def build_sprint(settings: SprintSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Lay out a `sprint`. Raises UsageError where the poolings would leave no pixel, naming the least size."""
    stages = len(settings.stage_widths)
    least = (2**stages - 1) * settings.stem_stride + settings.stem_kernel
    if min(image_size) < least:
        raise UsageError(
            "--image-size",
            f"{image_size[0]}x{image_size[1]} is too small for a sprint with {stages} stages",
            f"at least {least}x{least}",
        )
    entering = 2 * channels * settings.stem_kernel**2
    stem = (
        Whitening(channels, settings.stem_kernel, settings.stem_stride)
        if settings.stem == "whitening"
        else nn.Conv2d(channels, entering, settings.stem_kernel, settings.stem_stride)
    )
    body = OrderedDict[str, nn.Module](stem=Activated(stem, settings.activation))
    for number, leaving in enumerate(settings.stage_widths, start=1):
        body[f"stage{number}"] = Stage(entering, leaving, settings)
        entering = leaving
    head = OrderedDict[str, nn.Module](
        pool=GlobalMax(), dense=ScaledLinear(entering, num_classes, settings.logit_scale)
    )
    return Network(nn.Sequential(body), nn.Sequential(head))


def start_as_identity(network: nn.Module) -> None:
    """Let the first filters of every stage's convolutions pass their input's channels on (arXiv 1706.00388)."""
    for module in network.modules():
        if isinstance(module, Stage):
            for conv in module.convs:
                kernel = conv.weight
                assert isinstance(kernel, Tensor)
                nn.init.dirac_(kernel.data[: kernel.shape[1]])


def whiten(network: nn.Module, images: Tensor, eps: float) -> bool:
    """Fit the whitening stem of `network` to `images`, float (N, C, H, W); whether it has one."""
    stems = [module for module in network.modules() if isinstance(module, Whitening)]
    for stem in stems:
        stem.fit(images, eps)
    return bool(stems)
