"""Files of a network of timm: older names and other sizes, which timm itself converts, and last layers of its kinds.

Our last layer is one dense layer. timm's may be a 1x1 convolution, which is the same; where it is more than that, as
with two heads of a distilled network or a norm in front, it is left out and ours begins fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sightline.models.network import Network
from sightline.models.pretrained.fit import fit
from sightline.models.pretrained.names import LAST_LAYER
from sightline.models.timm_network import PREFIX
from sightline.recipes.timm_catalog import import_timm, timm_entry
from sightline.settings.model import TimmSettings

Tensors = Mapping[str, Tensor]
NO_CLASSIFIER = "a last layer of timm"


def timm_names(settings: TimmSettings, ours: list[str]) -> dict[str, str]:
    """Give the name of each of our tensors in timm's files."""
    classifiers = timm_entry(settings.architecture).classifiers
    last = classifiers[0] if len(classifiers) == 1 else NO_CLASSIFIER
    return {
        name: f"{last}.{name.rpartition('.')[2]}" if LAST_LAYER.match(name) else name.removeprefix(PREFIX)
        for name in ours
    }


def conformed(
    network: Network, settings: TimmSettings, tensors: Tensors, names: Mapping[str, str]
) -> tuple[Tensors, list[str]]:
    """Bring a file's tensors to what `network` has by `names`: them, and the file's names that are left out.

    Tensors that nobody can convert come back as they were, for `fit` to say what is wrong with them.
    """
    found, left_out = _without_other_heads(settings, tensors, names)
    if fit(network, found, names).mismatch and (converted := _converted(network, settings, tensors)) is not None:
        return _without_other_heads(settings, converted, names)
    return found, left_out


def _without_other_heads(
    settings: TimmSettings, tensors: Tensors, names: Mapping[str, str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Leave last layers out that are more than a dense one, and make dense ones of 1x1 convolutions."""
    classifiers = timm_entry(settings.architecture).classifiers
    known = set(names.values())
    heads = tuple(f"{classifier.partition('.')[0]}." for classifier in classifiers)
    left_out = [name for name in tensors if name.startswith(heads) and name not in known] if heads else []
    if left_out:
        last = {theirs for name, theirs in names.items() if LAST_LAYER.match(name)}
        left_out += [name for name in tensors if name in last]
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    for classifier in classifiers:
        weight = kept.get(f"{classifier}.weight")
        if weight is not None and weight.ndim == 4 and weight.shape[2:] == (1, 1):
            kept[f"{classifier}.weight"] = weight.flatten(1)
    return kept, left_out


def _converted(network: Network, settings: TimmSettings, tensors: Tensors) -> Tensors | None:
    """Let timm load the file into a network of its own with the file's classes; None where it cannot."""
    entry, timm = timm_entry(settings.architecture), import_timm()
    weight = tensors.get(f"{entry.classifiers[0]}.weight") if entry.classifiers else None
    classes = weight.shape[0] if weight is not None and weight.ndim else entry.classes
    features: Any = network.body[0]
    try:
        donor = timm.create_model(
            settings.architecture,
            pretrained=True,
            pretrained_cfg_overlay={"state_dict": dict(tensors), "num_classes": classes, "custom_load": False},
            **{**features.made_with, "num_classes": classes},
        )
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError):  # of a file of something else
        return None
    return donor.state_dict()
