"""Tensors' names and shapes of torchvision's networks, from their published structure, and files of them."""

from __future__ import annotations

import pytest
import torch

from sightline.classifier import model_file
from sightline.data.preprocessing import unit_preprocessing
from sightline.errors import FileError
from sightline.models import build_model
from sightline.models.pretrained import load_pretrained
from sightline.settings import MODEL_PRESETS, ResNetSettings, Settings

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
TINY = ResNetSettings(stage_depths=(1, 2), stage_widths=(4, 8))
# Columns of table 1 of arXiv 1409.4842: entering, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool.
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def norm(name, width):
    shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def dense(name, entering, leaving):
    return {f"{name}.weight": (leaving, entering), f"{name}.bias": (leaving,)}


def resnet_layout(depths, widths=(64, 128, 256, 512), *, bottleneck=False, kernel=7, channels=3, classes=1000):
    """torchvision.models.resnet.ResNet: the names and shapes of its state dict."""
    shapes = {"conv1.weight": (widths[0], channels, kernel, kernel), **norm("bn1", widths[0])}
    entering = widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        leaving = 4 * width if bottleneck else width
        for block in range(depth):
            name = f"layer{stage}.{block}"
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            before = entering
            for number, side in enumerate(kernels, start=1):
                after = leaving if number == len(kernels) else width
                shapes[f"{name}.conv{number}.weight"] = (after, before, side, side)
                shapes |= norm(f"{name}.bn{number}", after)
                before = after
            if block == 0 and (stage > 1 or entering != leaving):
                shapes[f"{name}.downsample.0.weight"] = (leaving, entering, 1, 1)
                shapes |= norm(f"{name}.downsample.1", leaving)
            entering = leaving
    return shapes | dense("fc", entering, classes)


def alexnet_layout(classes=1000, hidden=4096):
    """torchvision.models.alexnet.AlexNet."""
    shapes = {}
    entering = 3
    for index, leaving, side in ((0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3)):
        shapes |= {f"features.{index}.weight": (leaving, entering, side, side), f"features.{index}.bias": (leaving,)}
        entering = leaving
    return (
        shapes
        | dense("classifier.1", 9216, hidden)
        | dense("classifier.4", hidden, hidden)
        | dense("classifier.6", hidden, classes)
    )


def googlenet_layout(classes=1000, *, auxiliary=True):
    """torchvision.models.googlenet.GoogLeNet; its branch3 has 3x3 kernels where the paper has 5x5."""

    def conv(name, entering, leaving, side):
        return {f"{name}.conv.weight": (leaving, entering, side, side), **norm(f"{name}.bn", leaving)}

    shapes = conv("conv1", 3, 64, 7) | conv("conv2", 64, 64, 1) | conv("conv3", 64, 192, 3)
    for number, (entering, one, reduce3, three, reduce5, five, pool) in INCEPTIONS.items():
        name = f"inception{number}"
        shapes |= conv(f"{name}.branch1", entering, one, 1)
        shapes |= conv(f"{name}.branch2.0", entering, reduce3, 1) | conv(f"{name}.branch2.1", reduce3, three, 3)
        shapes |= conv(f"{name}.branch3.0", entering, reduce5, 1) | conv(f"{name}.branch3.1", reduce5, five, 3)
        shapes |= conv(f"{name}.branch4.1", entering, pool, 1)
    for name, entering in (("aux1", 512), ("aux2", 528)) if auxiliary else ():
        shapes |= conv(f"{name}.conv", entering, 128, 1)
        shapes |= dense(f"{name}.fc1", 2048, 1024) | dense(f"{name}.fc2", 1024, classes)
    return shapes | dense("fc", 1024, classes)


def tiny_layout(**changes):
    return resnet_layout(**{"depths": (1, 2), "widths": (4, 8), "classes": 10, **changes})


def state_dict(layout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in layout.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7 + len(tensors))
        elif name.endswith("running_var"):
            tensors[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            tensors[name] = torch.randn(shape, generator=generator) / 10
    return tensors


def shapes_only(layout):
    """Tensors of the layout's shapes that take no room, for files that are refused by their shapes."""
    return {name: torch.zeros(()).expand(shape) for name, shape in layout.items()}


def parameters(layout):
    return sum(
        torch.Size(shape).numel()
        for name, shape in layout.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )


def build(settings, channels=3, classes=10, side=64):
    return build_model(settings, channels=channels, image_size=(side, side), num_classes=classes, seed=1)


def preset(name, **changes):
    values = {**MODEL_PRESETS[name], **changes}
    return Settings.model_validate({"model": values}).model


def written(path, tensors):
    torch.save(tensors, path)
    return str(path)


def refused(network, settings, source, kind=FileError):
    """The one line that is said, after which the network must be as it was."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(kind) as caught:
        load_pretrained(network, settings, source)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- torchvision's layouts


def own_file(path, settings, network, classes=10, channels=3):
    header = model_file.ModelHeader(
        model=settings,
        class_names=tuple(str(number) for number in range(classes)),
        preprocessing=unit_preprocessing((64, 64, channels)),
    )
    model_file.save(path, network.state_dict(), header)
