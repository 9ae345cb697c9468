"""AlexNet (Krizhevsky et al. 2012), in two forms.

`full` is the network for 224x224 images in one column (arXiv 1404.5997), with the widths of torchvision's, whose
weights fit it: five convolutions, then two dense layers with dropout before each. `small` is the network of a
published program for 28x28 images: three convolutions, each followed by pooling, norm and dropout, then two dense
layers.

Both give logits; the log-softmax at the end of that program is part of the cross-entropy.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from sightline.models.network import (
    AdaptiveMean,
    ConvNormReLU,
    ConvReLU,
    Flatten,
    LocalResponseNorm,
    Network,
    check_least_size,
)
from sightline.models.same_padding import SameConv2d
from sightline.settings.model import AlexNetSettings

FULL_WIDTHS = (64, 192, 384, 256, 256)
SMALL_WIDTHS = (64, 128, 256)
FULL_HIDDEN = 4096
SMALL_HIDDEN = 1024
# Side of the maps that reach the dense layers of the full form, and that its last pooling gives at 224x224.
FULL_MAP = 6


def build_alexnet(settings: AlexNetSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Lay out an `alexnet`. Raises UsageError where the image is too small for the full form, naming the least size."""
    if settings.form == "full":
        return _full(settings, channels, image_size, num_classes)
    return _small(settings, channels, image_size, num_classes)


def _full(settings: AlexNetSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    first, second, third, fourth, fifth = FULL_WIDTHS
    bias = settings.norm != "batch"
    lrn = settings.norm == "lrn"
    layers = OrderedDict[str, nn.Module]()
    layers["conv1"] = _active(nn.Conv2d(channels, first, 11, stride=4, padding=2, bias=bias), settings)
    if lrn:
        layers["norm1"] = LocalResponseNorm.of_alexnet()
    layers["pool1"] = nn.MaxPool2d(3, stride=2)
    layers["conv2"] = _active(nn.Conv2d(first, second, 5, padding=2, bias=bias), settings)
    if lrn:
        layers["norm2"] = LocalResponseNorm.of_alexnet()
    layers["pool2"] = nn.MaxPool2d(3, stride=2)
    layers["conv3"] = _active(nn.Conv2d(second, third, 3, padding=1, bias=bias), settings)
    layers["conv4"] = _active(nn.Conv2d(third, fourth, 3, padding=1, bias=bias), settings)
    layers["conv5"] = _active(nn.Conv2d(fourth, fifth, 3, padding=1, bias=bias), settings)
    layers["pool5"] = nn.MaxPool2d(3, stride=2)
    body = nn.Sequential(layers)
    check_least_size(body, channels, image_size, "the full form of alexnet", "Use --form small or larger images.")

    hidden = settings.hidden or FULL_HIDDEN
    head = OrderedDict[str, nn.Module](
        pool=AdaptiveMean(FULL_MAP),
        flatten=nn.Flatten(),
        dropout1=nn.Dropout(settings.dropout),
        hidden1=nn.Linear(fifth * FULL_MAP**2, hidden),
        relu1=nn.ReLU(inplace=True),
        dropout2=nn.Dropout(settings.dropout),
        hidden2=nn.Linear(hidden, hidden),
        relu2=nn.ReLU(inplace=True),
        dense=nn.Linear(hidden, num_classes),
    )
    return Network(body, nn.Sequential(head))


def _small(settings: AlexNetSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    layers = OrderedDict[str, nn.Module]()
    entering, (height, width) = channels, image_size
    for number, leaving in enumerate(SMALL_WIDTHS, start=1):
        layers[f"conv{number}"] = _active(SameConv2d(entering, leaving, 3, bias=settings.norm != "batch"), settings)
        # With a kernel as wide as its stride, rounding up is what TensorFlow's 'same' padding does.
        layers[f"pool{number}"] = nn.MaxPool2d(2, ceil_mode=True)
        if settings.norm == "lrn":
            layers[f"norm{number}"] = LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)
        layers[f"dropout{number}"] = nn.Dropout(settings.dropout)
        entering, height, width = leaving, -(-height // 2), -(-width // 2)
    hidden = settings.hidden or SMALL_HIDDEN
    features = entering * height * width
    head = OrderedDict[str, nn.Module](
        flatten=Flatten(image_size, features),
        hidden1=nn.Linear(features, hidden),
        relu1=nn.ReLU(inplace=True),
        hidden2=nn.Linear(hidden, hidden),
        relu2=nn.ReLU(inplace=True),
        dense=nn.Linear(hidden, num_classes),
    )
    return Network(nn.Sequential(layers), nn.Sequential(head))


def _active(conv: nn.Conv2d, settings: AlexNetSettings) -> nn.Module:
    """Give the convolution with its ReLU, and batch norm between the two if that is the norm."""
    if settings.norm != "batch":
        return ConvReLU(conv)
    return ConvNormReLU(conv, nn.BatchNorm2d(conv.out_channels, settings.bn_eps, 1 - settings.bn_decay))
