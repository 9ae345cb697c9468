"""What of a network is frozen, and its output, computed once, in place of the images.

N images; F is the shape of one image's features.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sightline.classifier.input_step import InputStep
from sightline.classifier.torch_backend import evaluation_mode
from sightline.data import ImageSet
from sightline.device import Compute, as_tensor, channels_last, full_precision
from sightline.errors import UsageError
from sightline.evaluation.predictions import Predictions
from sightline.models.efficientnet import ConvNorm
from sightline.models.network import ConvNormReLU
from sightline.settings import AugmentSettings, FinetuneSettings

# The same on every machine, so that a run goes on elsewhere as it began.
MOST_BYTES = 4 << 30
PIXELS_A_BATCH = 1 << 20
HEADS_A_BATCH = 4096
FEATURES_A_BATCH = 128


@dataclass(frozen=True)
class Cut:
    """Where a network is cut in two: the layers that are frozen, and those behind them that are trained.

    With `freeze: backbone` all of the body is frozen, and of the head those first layers that have no weights and
    nothing random, as a pooling has not: what is kept of an image is then as small as it can be. With `freeze: front`
    the last `trained_parts` parts of the body are trained too.
    """

    freeze: str
    trained_parts: int = 0

    @classmethod
    def of(cls, settings: FinetuneSettings) -> Cut:
        """The cut that the settings ask for."""
        return cls(settings.freeze, settings.trained_parts)

    def parts(self, model: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
        """The frozen layers and the trained ones, in order; together they compute what `model` does.

        Raises UsageError for a module that is not made of a `body` and a `head`, or whose body has too few parts.
        """
        body, head = _body_and_head(model)
        layers = list(head.children())
        if self.freeze == "front":
            parts = list(body.children()) if isinstance(body, nn.Sequential) else []
            if self.trained_parts >= len(parts):
                found = f"{self.trained_parts} of the {len(parts)} parts of the backbone are to be trained"
                raise UsageError("--trained-parts", found, f"fewer than {len(parts)}")
            at = len(parts) - self.trained_parts
            return nn.Sequential(*parts[:at]), nn.Sequential(*parts[at:], *layers)
        at = next((number for number, layer in enumerate(layers) if not _is_fixed(layer)), len(layers))
        return nn.Sequential(body, *layers[:at]), nn.Sequential(*layers[at:])

    def freeze_in(self, model: nn.Module) -> None:
        """Leave gradients to the trained layers alone; batch norm works as in evaluation in all but the head."""
        trained = self.parts(model)[1]
        model.requires_grad_(False)
        model.eval()
        trained.requires_grad_(True)
        model.training = True
        _body_and_head(model)[1].train()


def _body_and_head(model: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    body, head = getattr(model, "body", None), getattr(model, "head", None)
    if not isinstance(body, nn.Module) or not isinstance(head, nn.Sequential):
        raise UsageError(
            "--freeze", f"{type(model).__name__} has no backbone", "a network with a `body` and a sequential `head`"
        )
    return body, head


def _is_fixed(layer: nn.Module) -> bool:
    return not layer.state_dict() and not any(isinstance(m, nn.modules.dropout._DropoutNd) for m in layer.modules())  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True)
class Features:
    """What the frozen layers make of an image set, (N, F) on the device, in the set's order.

    Maps have their channels last in memory. `mirrored` is the same of the images' mirror images, None where these are
    never seen.
    """

    values: torch.Tensor
    mirrored: torch.Tensor | None
    labels: torch.Tensor
    images: ImageSet
    cut: Cut

    def gather(self, at: torch.Tensor, mirror: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The features (B, F) and labels int64 (B,) at `at`, int64 (B,) on their device; of mirror images where so."""
        values = self.values.index_select(0, at)
        if mirror is not None and self.mirrored is not None:
            which = mirror.view(-1, *(1,) * (values.ndim - 1))
            values = torch.where(which, self.mirrored.index_select(0, at), values)
        return _channels_second(values), self.labels.index_select(0, at)

    @torch.no_grad()
    def predictions(self, model: nn.Module) -> Predictions:
        """What `model`, whose frozen layers these features come from, says of the images, in float32."""
        rest = self.cut.parts(model)[1]
        with evaluation_mode(rest), full_precision():
            parts = [
                torch.softmax(rest(_channels_second(part).float()), dim=1) for part in self.values.split(HEADS_A_BATCH)
            ]
        probabilities = torch.cat(parts).cpu().numpy()
        return Predictions(tuple(self.images.ids), self.images.labels, probabilities, tuple(self.images.class_names))


@torch.no_grad()
def features_of(
    images: ImageSet, fixed: nn.Module, input_step: InputStep, compute: Compute, *, mirror: bool = False
) -> torch.Tensor:
    """Compute what `fixed`, in evaluation mode, makes of the images, (N, F), in the type that it comes in.

    In the precision of `compute`, float32 without one, as validation does; maps with their channels last.
    """
    height, width, _ = images.size
    device = input_step.scale.device
    size = max(8, min(1000, PIXELS_A_BATCH // (height * width)))
    values = torch.empty(0)
    with full_precision(), compute.autocast():
        for start in range(0, len(images), size):
            pixels = images.images(start, start + size)
            pixels = np.ascontiguousarray(pixels[:, :, ::-1] if mirror else pixels)
            batch = input_step(as_tensor(pixels).to(device))
            part = _channels_last(fixed(batch.contiguous(memory_format=torch.channels_last)))
            if not start:
                values = torch.empty((len(images), *part.shape[1:]), dtype=part.dtype, device=device)
            values[start : start + size] = part
    return values


@torch.no_grad()
def continued(values: torch.Tensor, layers: nn.Module, compute: Compute) -> torch.Tensor:
    """What `layers`, in evaluation mode, make of the features (N, F) that those before them gave, (N, F')."""
    with full_precision(), compute.autocast():
        return torch.cat([_channels_last(layers(_channels_second(part))) for part in values.split(FEATURES_A_BATCH)])


def front_values(
    images: ImageSet, front: nn.Module, input_step: InputStep, compute: Compute, augment: AugmentSettings
) -> torch.Tensor | None:
    """The features (N, F) that take the place of the training images, not mirrored; None where nothing does."""
    copies, bytes_each = (1 if augment.flip == "none" else 2), (4 if compute.precision == "fp32" else 2)
    if not augment.only_mirrors or not fits(images, front, copies * bytes_each):
        return None
    return features_of(images, front, input_step, compute)


def quick(fixed: nn.Sequential) -> nn.Sequential:
    """A copy of frozen layers in which batch norm is part of the convolution before it, where the two are one module.

    Values are the same up to rounding, in about six tenths of the time.
    """
    copied = copy.deepcopy(fixed).eval()
    for module in copied.modules():
        if isinstance(module, ConvNorm | ConvNormReLU):
            conv, norm = module.conv, module.norm
            assert norm.running_mean is not None and norm.running_var is not None
            conv.weight, bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            conv.register_parameter("bias", nn.Parameter(bias))
            module.norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    copied = channels_last(copied)
    assert isinstance(copied, nn.Sequential)
    return copied


def fits(images: ImageSet, fixed: nn.Module, bytes_each: int = 4) -> bool:
    """Whether the features of so many images may be kept."""
    height, width, channels = images.size
    device = next(fixed.parameters()).device
    with torch.no_grad():
        one = fixed(torch.zeros(1, channels, height, width, device=device))
    return one.numel() * bytes_each * len(images) <= MOST_BYTES


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features


def _channels_second(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 3, 1, 2) if features.ndim == 4 else features
