"""The model families and the presets built from them.

A preset is a name for a family with numbers. `resnet18` and its like have the ImageNet stem; `resnet20` and its like
(depth 6n+2) the small one for 32x32 images.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sightline.settings.base import Count, Fraction, Positive, Section

Initializer = Literal["he", "glorot", "variance_scaling", "torch", "normal"]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]


class ModelSection(Section):
    """Model"""

    init: Initializer = "he"
    """Kernel initializer: he (normal, fan-out; fan-in in googlenet), glorot (uniform, zero biases), variance_scaling
    (truncated normal, fan-in), torch (PyTorch's default), normal (standard deviation 1, biases too, as in the AlexNet
    program for MNIST). In a timm network it applies to the last layer only; timm initializes the others."""


class CnnSettings(ModelSection):
    """Model: cnn, convolutions each followed by ReLU and 2x2 max pooling, then dense layers."""

    family: Literal["cnn"] = "cnn"
    conv_widths: Widths = (32, 64)
    """Output channels of each convolution."""
    kernel: Annotated[int, Field(ge=1, le=11)] = 5
    """Side of the convolution kernels."""
    batch_norm: bool = False
    """Batch norm after each convolution, which then has no bias."""
    hidden: Annotated[int, Field(ge=0)] = 1024
    """Units of the hidden dense layer; 0 leaves it out."""
    dropout: Fraction = 0.4
    """Dropout rate before the last dense layer."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-5
    """Constant added to the variance in batch norm."""


class ResNetSettings(ModelSection):
    """Model: resnet, residual networks v1 (arXiv 1512.03385) and v2 (arXiv 1603.05027)."""

    family: Literal["resnet"] = "resnet"
    resnet_version: Literal[1, 2] = 1
    """1: post-activation; 2: pre-activation."""
    block: Literal["basic", "bottleneck"] = "basic"
    """basic has two 3x3 convolutions; bottleneck has 1x1, 3x3 (with the stride) and 1x1 with four times the width."""
    stem: Literal["small", "imagenet", "auto"] = "imagenet"
    """small is a 3x3 convolution; imagenet a 7x7 one with stride 2, then 3x3 max pooling with stride 2; auto is small
    for images below 64 pixels."""
    stage_depths: Widths = (2, 2, 2, 2)
    """Residual blocks of each stage."""
    stage_widths: Widths = (64, 128, 256, 512)
    """Width of each stage; every stage but the first halves the image."""
    shortcut: Literal["projection", "pool_pad", "stride_pad"] = "projection"
    """Shortcut of a block whose input and output shapes differ: projection is a 1x1 convolution; pool_pad (2x2 average
    pooling) and stride_pad (every second pixel) pad with zero channels and have no parameters."""
    projection_norm: bool = True
    """Batch norm after the projection (v1)."""
    project: Literal["shape_change", "every_stage"] = "shape_change"
    """Project only where shapes differ (shape_change), or in the first block of every stage (every_stage)."""
    conv_bias: bool = False
    """Biases in the convolutions."""
    conv_padding: Literal["both", "same"] = "both"
    """Padding of convolutions with a stride: both pads both sides equally; same is TensorFlow's 'same', which pads
    images of even size only at the bottom and right."""
    pool_padding: Literal["both", "same"] = "both"
    """The same for the max pooling of the imagenet stem."""
    zero_residual: bool = False
    """Initialize each residual branch to zero, so that a block starts as its shortcut."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-5
    """Constant added to the variance in batch norm."""

    @model_validator(mode="after")
    def _stages_agree(self) -> ResNetSettings:
        if len(self.stage_depths) != len(self.stage_widths):
            raise ValueError(
                f"stage_depths has {len(self.stage_depths)} stages and stage_widths {len(self.stage_widths)},"
                " but they must have the same number"
            )
        return self


class PadResNetSettings(ModelSection):
    """Model: resnet_pad, a residual network whose shortcuts are padded with zero channels."""

    family: Literal["resnet_pad"] = "resnet_pad"
    init: Initializer = "glorot"
    block_widths: Widths = (16,)
    """Channels of each residual block: the same as the block before, or twice as many (stride 2)."""
    stem_width: Count = 16
    """Channels of the first convolution."""
    norm: Literal["untrained", "batch"] = "untrained"
    """untrained only divides by sqrt(1.001), with gamma and beta, as in the published program; batch is real batch
    norm."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-3
    """Constant added to the variance in batch norm."""

    @model_validator(mode="after")
    def _widths_equal_or_double(self) -> PadResNetSettings:
        before = self.stem_width
        for width in self.block_widths:
            if width not in (before, 2 * before):
                raise ValueError(
                    f"a block goes from {before} to {width} channels, but only {before} or {2 * before} can follow"
                )
            before = width
        return self


class AlexNetSettings(ModelSection):
    """Model: alexnet (Krizhevsky et al. 2012), in one column (arXiv 1404.5997), or small for 28x28 images."""

    family: Literal["alexnet"] = "alexnet"
    form: Literal["full", "small"] = "full"
    """full has five convolutions (64-192-384-256-256), for 224x224 images and at least 63x63; small has three 3x3
    convolutions (64-128-256), each with 2x2 pooling, for 28x28 images."""
    norm: Literal["none", "lrn", "batch"] = "none"
    """Normalization after each convolution: none, lrn (local response normalization; in full after the first two only)
    or batch (batch norm; the convolution then has no bias)."""
    hidden: Count | None = None
    """Units of each of the two hidden dense layers. Default: 4096 in full, 1024 in small."""
    dropout: Fraction = 0.5
    """Dropout rate: before both hidden dense layers in full, after each convolution in small."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-5
    """Constant added to the variance in batch norm."""


class GoogLeNetSettings(ModelSection):
    """Model: googlenet, Inception v1 (arXiv 1409.4842)."""

    family: Literal["googlenet"] = "googlenet"
    batch_norm: bool = False
    """Batch norm after each convolution, which then has no bias, as in torchvision; without it, the paper's network,
    with local response normalization in the stem."""
    wide_kernel: Literal[3, 5] = 5
    """Kernel of the widest branch: 5 in the paper, 3 in torchvision's network and weights."""
    stem: Literal["small", "imagenet", "auto"] = "auto"
    """imagenet is the paper's: a 7x7 convolution with stride 2, pooling, two more convolutions, pooling; small starts
    with a 3x3 convolution with stride 1 and has no second pooling; auto is small for images below 64 pixels."""
    auxiliary: bool = True
    """Two auxiliary heads, which help training and are not used for prediction."""
    auxiliary_weight: Fraction = 0.3
    """Weight of each auxiliary head's loss in training."""
    dropout: Fraction = 0.4
    """Dropout rate before the last dense layer."""
    auxiliary_dropout: Fraction = 0.7
    """Dropout rate before the last dense layer of each auxiliary head."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-3
    """Constant added to the variance in batch norm."""


class SprintSettings(ModelSection):
    """Model: sprint, a network built for speed: a whitening stem, few wide stages with early pooling, scaled logits."""

    family: Literal["sprint"] = "sprint"
    stem: Literal["whitening", "conv"] = "whitening"
    """whitening has fixed kernels: the principal components of the training images' patches, and their negatives; conv
    is a trained convolution of the same shape."""
    stem_kernel: Annotated[int, Field(ge=1, le=7)] = 2
    """Side of the stem's kernels, and so of its patches. The stem has twice as many filters as a patch has values."""
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 1
    """Stride of the stem, in pixels."""
    stage_widths: Widths = (64, 256, 256)
    """Channels of each stage; every stage halves the image."""
    stage_convs: Annotated[int, Field(ge=1, le=4)] = 2
    """3x3 convolutions in each stage."""
    residual: bool = False
    """Add the input of a stage's second convolution to the output of its last."""
    activation: Literal["relu", "gelu", "silu"] = "gelu"
    """Activation after the stem and after each normalization."""
    identity_start: bool = True
    """Initialize the first filters of each convolution as the identity."""
    logit_scale: Positive = 0.11
    """Factor on the logits."""
    whitening_eps: Positive = 5e-4
    """Constant added to each component's variance before it is scaled to 1."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.6
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-5
    """Constant added to the variance in batch norm."""


class EfficientNetSettings(ModelSection):
    """Model: efficientnet, EfficientNet-Lite (arXiv 1905.11946), small and fast on any processor."""

    family: Literal["efficientnet"] = "efficientnet"
    width_factor: Positive = 1.0
    """Width of the stages, relative to Lite0."""
    depth_factor: Positive = 1.0
    """Depth of the stages, relative to Lite0; the first and last stages keep theirs."""
    dropout: Fraction = 0.2
    """Dropout rate before the last dense layer."""
    bn_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of batch norm's running mean and variance per step (1 minus PyTorch's momentum)."""
    bn_eps: Positive = 1e-3
    """Constant added to the variance in batch norm."""


class TimmSettings(ModelSection):
    """Model: timm, any classifier of the timm library (extra `timm`), as timm/NAME."""

    family: Literal["timm"] = "timm"
    init: Initializer = "torch"
    architecture: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$")]
    """Name of a timm network, optionally with a dot and the name of its weights, as in convnext_tiny.fb_in22k."""
    dropout: Fraction = 0.0
    """Dropout rate before the last dense layer."""
    drop_path: Fraction = 0.0
    """Probability of skipping the last residual branch in training; earlier branches have smaller ones (arXiv
    1603.09382)."""


ModelSettings = Annotated[
    CnnSettings
    | ResNetSettings
    | PadResNetSettings
    | AlexNetSettings
    | GoogLeNetSettings
    | SprintSettings
    | EfficientNetSettings
    | TimmSettings,
    Field(discriminator="family"),
]


def _cifar_resnet(depth: int, *, version: int = 1) -> dict[str, Any]:
    blocks = (depth - 2) // 6
    return {
        "family": "resnet",
        "resnet_version": version,
        "stem": "small",
        "stage_depths": (blocks,) * 3,
        "stage_widths": (16, 32, 64),
    }


def _imagenet_resnet(block: str, *depths: int, version: int = 1) -> dict[str, Any]:
    return {"family": "resnet", "resnet_version": version, "block": block, "stage_depths": depths}


def _presets() -> dict[str, dict[str, Any]]:
    presets: dict[str, dict[str, Any]] = {"cnn": {"family": "cnn"}, "resnet-pad": {"family": "resnet_pad"}}
    imagenet = {
        18: ("basic", 2, 2, 2, 2),
        34: ("basic", 3, 4, 6, 3),
        50: ("bottleneck", 3, 4, 6, 3),
        101: ("bottleneck", 3, 4, 23, 3),
        152: ("bottleneck", 3, 8, 36, 3),
        200: ("bottleneck", 3, 24, 36, 3),
    }
    for version, suffix in ((1, ""), (2, "v2")):
        for depth, (block, *depths) in imagenet.items():
            presets[f"resnet{depth}{suffix}"] = _imagenet_resnet(block, *depths, version=version)
        for depth in (8, 14, 20, 32, 44, 56, 110):
            presets[f"resnet{depth}{suffix}"] = _cifar_resnet(depth, version=version)
    presets["alexnet"] = {"family": "alexnet"}
    presets["alexnet-small"] = {"family": "alexnet", "form": "small", "norm": "lrn", "dropout": 0.2}
    presets["sprint"] = {"family": "sprint"}
    presets["googlenet"] = {"family": "googlenet"}
    presets["googlenet-bn"] = {"family": "googlenet", "batch_norm": True, "wide_kernel": 3, "dropout": 0.2}
    for number, (width, depth) in enumerate(((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))):
        presets[f"efficientnet-lite{number}"] = {"family": "efficientnet", "width_factor": width, "depth_factor": depth}
    return presets


TIMM = "timm/"
"""What stands before the name of a network of timm."""
MODEL_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(_presets())


@cache
def preset_layout(family: str) -> frozenset[str]:
    """What a preset of this family decides: every field that any of them names, as depths and widths."""
    presets = (preset for preset in MODEL_PRESETS.values() if preset["family"] == family)
    return frozenset(name for preset in presets for name in preset)


def model_name(settings: ModelSettings | None, own: str = "own") -> str:
    """The preset that is laid out as these settings are, however they begin and normalise, or else their family.

    Without settings, as of a user's own module, it is `own`.
    """
    if settings is None:
        return own
    if isinstance(settings, TimmSettings):
        return TIMM + settings.architecture
    layout = preset_layout(settings.family)
    for name, preset in MODEL_PRESETS.items():
        if preset["family"] == settings.family:
            built = type(settings).model_validate(dict(preset))
            if all(getattr(built, field) == getattr(settings, field) for field in layout):
                return name
    return settings.family.replace("_", "-")
