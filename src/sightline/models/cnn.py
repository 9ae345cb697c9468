"""The plain convolutional network of reference program R2: convolutions with pooling, then two dense layers."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.models.network import Flatten, Network
from sightline.models.same_padding import SameConv2d
from sightline.settings.model import CnnSettings


class ConvPool(nn.Module):
    """A 'same' convolution, ReLU, and 2x2 max pooling that leaves out an odd last row or column."""

    def __init__(self, entering: int, leaving: int, kernel: int) -> None:
        super().__init__()
        self.conv = SameConv2d(entering, leaving, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', floor(H / 2), floor(W / 2))."""
        return F.max_pool2d(F.relu(self.conv(x), inplace=True), 2)


def build_cnn(settings: CnnSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Lay out a `cnn`. Raises UsageError when the poolings would leave no pixel, naming the least size."""
    poolings = len(settings.conv_widths)
    height, width = (side >> poolings for side in image_size)
    if min(height, width) < 1:
        least = 2**poolings
        raise UsageError(
            "--image-size",
            f"{image_size[0]}x{image_size[1]} is too small for a cnn with {poolings} poolings",
            f"the least size is {least}x{least}",
        )
    entering = (channels, *settings.conv_widths)
    body = nn.Sequential(
        OrderedDict(
            (f"conv{i + 1}", ConvPool(entering[i], leaving, settings.kernel))
            for i, leaving in enumerate(settings.conv_widths)
        )
    )
    features = settings.conv_widths[-1] * height * width
    head = nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=Flatten(image_size, features),
            hidden=nn.Linear(features, settings.hidden),
            relu=nn.ReLU(inplace=True),
            dropout=nn.Dropout(settings.dropout),
            dense=nn.Linear(settings.hidden, num_classes),
        )
    )
    return Network(body, head)
