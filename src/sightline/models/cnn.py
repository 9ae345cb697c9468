"""A plain convolutional network: convolutions with pooling, then two dense layers."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.models.network import Flatten, Network
from sightline.models.same_padding import SameConv2d
from sightline.settings.model import CnnSettings


class ConvPool(nn.Module):
    """A 'same' convolution, 2x2 max pooling that leaves out an odd last row or column, batch norm if asked, ReLU.

    Pooling first gives what ReLU first gives, since ReLU never changes which of two values is larger, and leaves the
    layers behind it a quarter of the work.
    """

    def __init__(self, entering: int, leaving: int, settings: CnnSettings) -> None:
        super().__init__()
        self.conv = SameConv2d(entering, leaving, settings.kernel, bias=not settings.batch_norm)
        momentum = 1 - settings.bn_decay
        self.norm = nn.BatchNorm2d(leaving, settings.bn_eps, momentum) if settings.batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', floor(H / 2), floor(W / 2))."""
        return F.relu(self.norm(F.max_pool2d(self.conv(x), 2)), inplace=True)


def build_cnn(settings: CnnSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Lay out a `cnn`. Raises UsageError when the poolings would leave no pixel, naming the least size."""
    poolings = len(settings.conv_widths)
    height, width = (side >> poolings for side in image_size)
    if min(height, width) < 1:
        least = 2**poolings
        raise UsageError(
            "--image-size",
            f"{image_size[0]}x{image_size[1]} is too small for a cnn with {poolings} poolings",
            f"at least {least}x{least}",
        )
    entering = (channels, *settings.conv_widths)
    body = nn.Sequential(
        OrderedDict(
            (f"conv{i + 1}", ConvPool(entering[i], leaving, settings)) for i, leaving in enumerate(settings.conv_widths)
        )
    )
    features = settings.conv_widths[-1] * height * width
    head = OrderedDict[str, nn.Module](flatten=Flatten(image_size, features))
    if settings.hidden:
        head |= {"hidden": nn.Linear(features, settings.hidden), "relu": nn.ReLU(inplace=True)}
    head |= {"dropout": nn.Dropout(settings.dropout), "dense": nn.Linear(settings.hidden or features, num_classes)}
    return Network(body, nn.Sequential(head))
