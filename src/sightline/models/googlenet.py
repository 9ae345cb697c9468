"""GoogLeNet (Inception v1, arXiv 1409.4842), in two forms and with two stems.

|                      | the paper's                    | with batch norm, as torchvision's weights need it |
|----------------------|--------------------------------|---------------------------------------------------|
| behind a convolution | ReLU                           | batch norm, ReLU                                  |
| convolution biases   | yes                            | no                                                |
| in the stem          | local response normalisation   | nothing more                                      |
| last max pooling     | 3x3                            | 2x2                                               |
| widest kernel        | 5, a setting of its own        | 3 in torchvision's, 5 in the paper's              |

The `imagenet` stem is the paper's: it makes the image eight times smaller, to 28x28 at 224x224. The `small` stem makes
it two times smaller, so that 28x28 images reach the inceptions at 14x14, then 7x7, then 3x3 (a quarter of the work that
28x28 maps would be): its first convolution is 3x3 with stride 1 instead of 7x7 with stride 2, and its second pooling is
left out. All other layers are the same in both, so that weights trained with one stem fit the other but for `conv1`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.convolution import Conv2d
from sightline.models.network import (
    AdaptiveMean,
    ConvNormReLU,
    ConvReLU,
    GlobalMean,
    LocalResponseNorm,
    Network,
    check_least_size,
)
from sightline.models.resnet import LEAST_FOR_IMAGENET_STEM
from sightline.settings.model import GoogLeNetSettings

STEM_WIDTH = 64
STEM_LEAVING = 192


@dataclass(frozen=True)
class InceptionPlan:
    """The channels of one inception, as in the columns of the paper's table 1."""

    one: int
    three_reduce: int
    three: int
    wide_reduce: int
    wide: int
    pool: int

    @property
    def leaving(self) -> int:
        """Channels of the four branches together."""
        return self.one + self.three + self.wide + self.pool


INCEPTIONS = {
    "3a": InceptionPlan(64, 96, 128, 16, 32, 32),
    "3b": InceptionPlan(128, 128, 192, 32, 96, 64),
    "4a": InceptionPlan(192, 96, 208, 16, 48, 64),
    "4b": InceptionPlan(160, 112, 224, 24, 64, 64),
    "4c": InceptionPlan(128, 128, 256, 24, 64, 64),
    "4d": InceptionPlan(112, 144, 288, 32, 64, 64),
    "4e": InceptionPlan(256, 160, 320, 32, 128, 128),
    "5a": InceptionPlan(256, 160, 320, 32, 128, 128),
    "5b": InceptionPlan(384, 192, 384, 48, 128, 128),
}
POOL_BEFORE = {"4a": "pool3", "5a": "pool4"}
AUXILIARY_BEHIND = ("4a", "4d")
AUXILIARY_MAP = 4
AUXILIARY_WIDTH = 128
AUXILIARY_HIDDEN = 1024


class Inception(nn.Module):
    """Four branches side by side, their channels joined: 1x1, 3x3, a wide kernel, and pooling.

    A 1x1 convolution makes the channels fewer before each larger kernel and behind the pooling.
    """

    def __init__(self, entering: int, plan: InceptionPlan, settings: GoogLeNetSettings) -> None:
        super().__init__()
        self.branch_1x1 = _conv(entering, plan.one, 1, settings)
        self.branch_3x3 = nn.Sequential(
            OrderedDict(
                reduce=_conv(entering, plan.three_reduce, 1, settings),
                conv=_conv(plan.three_reduce, plan.three, 3, settings),
            )
        )
        self.branch_wide = nn.Sequential(
            OrderedDict(
                reduce=_conv(entering, plan.wide_reduce, 1, settings),
                conv=_conv(plan.wide_reduce, plan.wide, settings.wide_kernel, settings),
            )
        )
        self.branch_pool = nn.Sequential(
            OrderedDict[str, nn.Module](
                pool=nn.MaxPool2d(3, stride=1, padding=1),
                project=_conv(entering, plan.pool, 1, settings),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, H, W)."""
        return torch.cat((self.branch_1x1(x), self.branch_3x3(x), self.branch_wide(x), self.branch_pool(x)), dim=1)


class AuxiliaryHead(nn.Module):
    """A classifier half-way (section 5 of the paper), so that the layers before it get a gradient of their own.

    Its mean pooling gives 4x4 maps of any size, which at 224x224 is the paper's 5x5 pooling with stride 3.
    """

    def __init__(self, entering: int, num_classes: int, settings: GoogLeNetSettings) -> None:
        super().__init__()
        self.pool = AdaptiveMean(AUXILIARY_MAP)
        self.conv = _conv(entering, AUXILIARY_WIDTH, 1, settings)
        self.hidden = nn.Linear(AUXILIARY_WIDTH * AUXILIARY_MAP**2, AUXILIARY_HIDDEN)
        self.dropout = nn.Dropout(settings.auxiliary_dropout)
        self.dense = nn.Linear(AUXILIARY_HIDDEN, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, K)."""
        x = self.conv(self.pool(x)).flatten(1)  # N, 2048
        x = F.relu(self.hidden(x), inplace=True)
        return self.dense(self.dropout(x))


def build_googlenet(
    settings: GoogLeNetSettings, channels: int, image_size: tuple[int, int], num_classes: int
) -> Network:
    """Lay out a `googlenet`. Raises UsageError where its poolings do not fit the image, naming the least size."""
    small = settings.stem == "small" or (settings.stem == "auto" and min(image_size) < LEAST_FOR_IMAGENET_STEM)
    layers = _stem(settings, channels, small=small)
    auxiliary: dict[str, nn.Module] = {}
    entering = STEM_LEAVING
    for number, plan in INCEPTIONS.items():
        if number in POOL_BEFORE:
            is_last = number == "5a"
            layers[POOL_BEFORE[number]] = _pool(2 if is_last and settings.batch_norm else 3)
        layers[f"inception{number}"] = Inception(entering, plan, settings)
        entering = plan.leaving
        if settings.auxiliary and number in AUXILIARY_BEHIND:
            auxiliary[f"inception{number}"] = AuxiliaryHead(entering, num_classes, settings)
    body = nn.Sequential(layers)
    subject = f"googlenet with the {'small' if small else 'imagenet'} stem"
    check_least_size(body, channels, image_size, subject, "" if small else "Use --stem small or larger images.")
    head = OrderedDict[str, nn.Module](
        pool=GlobalMean(), dropout=nn.Dropout(settings.dropout), dense=nn.Linear(entering, num_classes)
    )
    return Network(body, nn.Sequential(head), auxiliary)


def _stem(settings: GoogLeNetSettings, channels: int, *, small: bool) -> OrderedDict[str, nn.Module]:
    lrn = not settings.batch_norm
    stem = OrderedDict[str, nn.Module]()
    if small:
        stem["conv1"] = _conv(channels, STEM_WIDTH, 3, settings)
    else:
        stem["conv1"] = _conv(channels, STEM_WIDTH, 7, settings, stride=2)
    stem["pool1"] = _pool(3)
    if lrn:
        stem["norm1"] = LocalResponseNorm.of_alexnet()
    stem["conv2"] = _conv(STEM_WIDTH, STEM_WIDTH, 1, settings)
    stem["conv3"] = _conv(STEM_WIDTH, STEM_LEAVING, 3, settings)
    if lrn:
        stem["norm2"] = LocalResponseNorm.of_alexnet()
    if not small:
        stem["pool2"] = _pool(3)
    return stem


def _conv(entering: int, leaving: int, kernel: int, settings: GoogLeNetSettings, stride: int = 1) -> nn.Module:
    """Give a convolution of odd `kernel` with its ReLU, padded alike on both sides to ceil(H / stride) pixels."""
    conv = Conv2d(entering, leaving, kernel, stride, padding=kernel // 2, bias=not settings.batch_norm)
    if not settings.batch_norm:
        return ConvReLU(conv)
    return ConvNormReLU(conv, nn.BatchNorm2d(leaving, settings.bn_eps, 1 - settings.bn_decay))


def _pool(kernel: int) -> nn.MaxPool2d:
    """Give a max pooling with stride 2 that also takes windows which reach over the edge: 112, 56, 28, 14, 7."""
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)
