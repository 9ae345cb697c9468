"""What the library timm says of its networks: which there are, and the pictures that their weights were trained with.

timm is imported when one of its networks is asked for, and then torch, by itself. Nothing is downloaded here.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from sightline.errors import UsageError, needs, unknown
from sightline.settings.data import Interpolation

SUBJECT = "--model"
IMAGENET_SIDE = 224


@dataclass(frozen=True)
class TimmEntry:
    """A network of timm: `name` with that of its weights, where it has any; the pictures they were trained with.

    `side` in pixels; `fixed_side` where the network is built for one side; `mean` and `std` per channel, where the
    brightest pixel is 1. `classifiers` name its last layers, `repository` and `file` where its weights are, None and ""
    where timm has none.
    """

    name: str
    side: int
    fixed_side: bool
    interpolation: Interpolation
    crop_fraction: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classifiers: tuple[str, ...]
    classes: int
    repository: str | None
    file: str
    license: str


@cache
def timm_entry(name: str) -> TimmEntry:
    """Look a network up, by `architecture` or `architecture.weights`.

    Raises UsageError where timm is not installed or does not have it, with the nearest names.
    """
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = [f"timm/{known}" for known in timm.list_models()]
        raise unknown(SUBJECT, f"timm/{name}", known, listed_by="timm.list_models() in Python")
    tagged = [f"timm/{known}" for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and f"timm/{name}" not in tagged:
        listed_by = f"timm.list_pretrained('{architecture}.*') in Python"
        raise unknown(SUBJECT, f"timm/{name}", tagged or [f"timm/{architecture}"], listed_by=listed_by)
    found = timm.get_pretrained_cfg(name)
    if found is None:  # a network of which timm says nothing
        grey = (0.5,) * 3
        return TimmEntry(name, IMAGENET_SIDE, False, "bicubic", 1.0, grey, grey, (), 1000, None, "", "")
    return TimmEntry(
        name=f"{architecture}.{found.tag}" if found.tag and found.has_weights else architecture,
        side=found.input_size[-1],
        fixed_side=bool(found.fixed_input_size),
        interpolation="bilinear" if found.interpolation == "bilinear" else "bicubic",
        crop_fraction=1.0 if found.crop_mode == "squash" else float(found.crop_pct),
        mean=tuple(found.mean),
        std=tuple(found.std),
        classifiers=(found.classifier,) if isinstance(found.classifier, str) else tuple(found.classifier or ()),
        classes=int(found.num_classes),
        repository=found.hf_hub_id if found.has_weights else None,
        file=found.hf_hub_filename or "model.safetensors",
        license=found.license or "",
    )


@cache
def import_timm() -> Any:
    """Give the module. Raises UsageError where it, or torchvision, which it needs for pictures, cannot be imported."""
    with needs(SUBJECT, "timm", "timm", "torchvision", why="has this network"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import timm
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            timm = _without_operators()
    return timm


def _without_operators() -> Any:
    """Import timm beside a torchvision of another build than torch, whose operators are then missing.

    It was made for CUDA, say, beside a torch for the CPU alone. timm takes nothing of it but functions on pictures, so
    that declarations of the operators suffice.
    """
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    try:
        import timm
    except (RuntimeError, ImportError) as error:
        reason = str(error).splitlines()[0]
        advice = "Install torch and torchvision from one place, of versions that belong together."
        raise UsageError(
            SUBJECT, f"torchvision, which timm needs, does not work here ({reason})", advice=advice
        ) from error
    return timm


_kept: list[Any] = []
"""What was declared to torch, which it forgets with the object."""
