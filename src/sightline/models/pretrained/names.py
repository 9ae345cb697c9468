"""Tensor names: from ours to those of the programs whose weights we read; and which network a file's look like.

They are torchvision's, which timm's ResNet shares, and for EfficientNet timm's and those of efficientnet_pytorch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from sightline.settings.model import (
    MODEL_PRESETS,
    AlexNetSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    ResNetSettings,
)

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
Shapes = Mapping[str, tuple[int, ...]]

COUNTER = ".num_batches_tracked"
"""Batch norm's count of steps: files without it are whole, since a fixed momentum needs no count."""

LAST_LAYER = re.compile(r"^(head|auxiliary\.\w+)\.dense\.(weight|bias)$")
"""Our names of what depends on the number of classes."""
AUXILIARY = re.compile(r"^(auxiliary\.\w+|aux[12])\.")
"""The auxiliary heads, which a file may lack or have too many, by our names and torchvision's."""


def _from_zero(match: re.Match[str]) -> str:
    return f"layer{match[1]}.{int(match[2]) - 1}."


RESNET: Sequence[Rule] = (
    (r"^body\.stem\.conv\.", "conv1."),
    (r"^body\.stem\.norm\.", "bn1."),
    (r"^body\.stage(\d+)\.block(\d+)\.", _from_zero),
    (r"\.norm(\d)\.", r".bn\1."),
    (r"\.shortcut\.conv\.", ".downsample.0."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"^head\.dense\.", "fc."),
)
ALEXNET: Sequence[Rule] = (
    *((rf"^body\.conv{number}\.conv\.", f"features.{index}.") for number, index in enumerate((0, 3, 6, 8, 10), 1)),
    (r"^head\.hidden1\.", "classifier.1."),
    (r"^head\.hidden2\.", "classifier.4."),
    (r"^head\.dense\.", "classifier.6."),
)
GOOGLENET: Sequence[Rule] = (
    (r"^auxiliary\.inception4a\.", "aux1."),
    (r"^auxiliary\.inception4d\.", "aux2."),
    (r"^(aux\d)\.hidden\.", r"\1.fc1."),
    (r"^(aux\d)\.dense\.", r"\1.fc2."),
    (r"^head\.dense\.", "fc."),
    (r"^body\.", ""),
    (r"\.branch_1x1\.", ".branch1."),
    (r"\.branch_3x3\.reduce\.", ".branch2.0."),
    (r"\.branch_3x3\.conv\.", ".branch2.1."),
    (r"\.branch_wide\.reduce\.", ".branch3.0."),
    (r"\.branch_wide\.conv\.", ".branch3.1."),
    (r"\.branch_pool\.project\.", ".branch4.1."),
    (r"\.norm\.", ".bn."),
)


EFFICIENTNET_IN_TIMM: Sequence[Rule] = (
    (r"^body\.stem\.conv\.", "conv_stem."),
    (r"^body\.stem\.norm\.", "bn1."),
    (r"^body\.last\.conv\.", "conv_head."),
    (r"^body\.last\.norm\.", "bn2."),
    # The first stage's blocks expand nothing, so that its convolutions are called and counted otherwise.
    (r"^body\.stage1\.block(\d+)\.depthwise\.norm\.", lambda m: f"blocks.0.{int(m[1]) - 1}.bn1."),
    (r"^body\.stage1\.block(\d+)\.project\.conv\.", lambda m: f"blocks.0.{int(m[1]) - 1}.conv_pw."),
    (r"^body\.stage1\.block(\d+)\.project\.norm\.", lambda m: f"blocks.0.{int(m[1]) - 1}.bn2."),
    (r"^body\.stage(\d+)\.block(\d+)\.", lambda m: f"blocks.{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"\.expand\.conv\.", ".conv_pw."),
    (r"\.expand\.norm\.", ".bn1."),
    (r"\.depthwise\.conv\.", ".conv_dw."),
    (r"\.depthwise\.norm\.", ".bn2."),
    (r"\.project\.conv\.", ".conv_pwl."),
    (r"\.project\.norm\.", ".bn3."),
    (r"^head\.dense\.", "classifier."),
)
EFFICIENTNET_IN_LUKEMELAS: Sequence[Rule] = (
    (r"^body\.stem\.conv\.", "_conv_stem."),
    (r"^body\.stem\.norm\.", "_bn0."),
    (r"^body\.last\.conv\.", "_conv_head."),
    (r"^body\.last\.norm\.", "_bn1."),
    (r"\.expand\.conv\.", "._expand_conv."),
    (r"\.expand\.norm\.", "._bn0."),
    (r"\.depthwise\.conv\.", "._depthwise_conv."),
    (r"\.depthwise\.norm\.", "._bn1."),
    (r"\.project\.conv\.", "._project_conv."),
    (r"\.project\.norm\.", "._bn2."),
    (r"^head\.dense\.", "_fc."),
)
BLOCK = re.compile(r"^body\.stage\d+\.block\d+\.")
LITE_PARAMETERS = {
    3_370_144: "efficientnet-lite0",
    4_134_816: "efficientnet-lite1",
    4_810_208: "efficientnet-lite2",
    6_915_232: "efficientnet-lite3",
    11_724_704: "efficientnet-lite4",
}
"""Parameters of everything but the stem's convolution and the last layer, which change with channels and classes."""


def foreign_names(settings: ModelSettings, names: Iterable[str], file: Iterable[str] = ()) -> dict[str, str] | None:
    """Give the name of each of `names`, ours, in a file with the names `file`; None where no other program has it.

    Where two programs have the network, it is the file that decides: without one, timm's names.
    """
    match settings:
        case EfficientNetSettings() if "_conv_stem.weight" in set(file):
            return _counted_through(list(names))
        case EfficientNetSettings():
            rules = EFFICIENTNET_IN_TIMM
        case ResNetSettings(resnet_version=1):
            rules = RESNET
        case AlexNetSettings(form="full", norm="none" | "lrn"):
            rules = ALEXNET
        case GoogLeNetSettings():
            rules = GOOGLENET
        case _:
            return None
    return {name: _translate(name, rules) for name in names}


def _counted_through(names: Sequence[str]) -> dict[str, str]:
    """Give efficientnet_pytorch's names, whose blocks are numbered from 0 through all stages."""
    blocks = list(dict.fromkeys(match[0] for name in names if (match := BLOCK.match(name))))
    numbers = {block: f"_blocks.{number}." for number, block in enumerate(blocks)}
    counted = {name: BLOCK.sub(lambda match: numbers[match[0]], name) for name in names}
    return {name: _translate(theirs, EFFICIENTNET_IN_LUKEMELAS) for name, theirs in counted.items()}


def _translate(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def recognize(shapes: Shapes) -> tuple[str, str | None]:
    """Say what network tensors of foreign names belong to, and the preset that it is, if it is one of ours."""
    if "conv_stem.weight" in shapes or "_conv_stem.weight" in shapes:
        return _recognize_efficientnet(shapes)
    if "layer1.0.conv1.weight" in shapes:
        return _recognize_resnet(shapes)
    if len(shapes.get("features.0.weight", ())) == 4 and "classifier.6.weight" in shapes:
        if shapes["features.0.weight"][-1] == 11:
            return "alexnet", "alexnet"
        return "a VGG network", None
    if "inception3a.branch1.conv.weight" in shapes:
        return "googlenet with batch norm", "googlenet-bn"
    return "", None


def _recognize_resnet(shapes: Shapes) -> tuple[str, str | None]:
    blocks = {(int(m[1]), int(m[2])) for name in shapes if (m := re.match(r"layer(\d+)\.(\d+)\.", name))}
    stages = range(1, max(stage for stage, _ in blocks) + 1)
    depths = tuple(sum(stage == each for each, _ in blocks) for stage in stages)
    widths = tuple(shapes.get(f"layer{stage}.0.conv1.weight", (0,))[0] for stage in stages)
    block = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    stem = {7: "imagenet", 3: "small"}.get((shapes.get("conv1.weight") or (0,))[-1])
    grouped = shapes.get("layer1.0.conv2.weight", (0, 0))[1] != widths[0]
    for name, preset in MODEL_PRESETS.items():
        known = ResNetSettings.model_validate(preset) if preset["family"] == "resnet" else None
        if known is None or known.resnet_version != 1 or grouped:
            continue
        if (known.block, known.stage_depths, known.stage_widths, known.stem) == (block, depths, widths, stem):
            return name, name
    counts = "-".join(map(str, depths))
    return f"a {'ResNeXt' if grouped else 'ResNet'} of {counts} {block} blocks", None


def _recognize_efficientnet(shapes: Shapes) -> tuple[str, str | None]:
    varying = ("conv_stem.", "_conv_stem.", "classifier.", "_fc.")
    trained = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith(varying) and not name.endswith((COUNTER, "running_mean", "running_var"))
    }
    preset = LITE_PARAMETERS.get(sum(math.prod(shape) for shape in trained.values()))
    return preset or "an EfficientNet or MobileNet", preset
