"""What the comparison with torchvision and timm needs besides these: the cases, and Sightline's side of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import seeded
import torch
from numpy.typing import NDArray
from programs import summary

from sightline.models import Network, build_model
from sightline.models.pretrained import load_pretrained
from sightline.models.pretrained.names import foreign_names
from sightline.settings import Settings, build_settings

Shapes = dict[str, tuple[int, ...]]
Arrays = dict[str, NDArray[Any]]
CLASSES = 1000
SEED = 1


@dataclass(frozen=True)
class Case:
    """A network of torchvision (with `tf_` in front, of timm), which preset of ours it is, and the images' sides.

    `stored` is the side whose outputs are stored for the tests, or None. `gain` scales the kernels so that the logits
    are of the order of 1.
    """

    name: str
    preset: str
    gain: float
    side: int = 224
    stored: int | None = None
    batch: int = 2


CASES = {
    case.name: case
    for case in (
        Case("resnet18", "resnet18", gain=0.5, stored=96),
        Case("resnet34", "resnet34", gain=0.5),
        Case("resnet50", "resnet50", gain=0.5, stored=96),
        Case("resnet101", "resnet101", gain=0.5),
        Case("resnet152", "resnet152", gain=0.5),
        Case("alexnet", "alexnet", gain=1.0, stored=224),
        Case("googlenet", "googlenet-bn", gain=1.3, stored=224),
        *(
            Case(f"tf_efficientnet_lite{size}", f"efficientnet-lite{size}", gain=1.0, stored=None if size else 96)
            for size in range(5)
        ),
    )
}


def images(case: Case, side: int) -> torch.Tensor:
    """A batch as networks see it, scaled: float (N, 3, side, side)."""
    return torch.from_numpy(seeded.uniform(SEED, f"{case.name}.{side}", (case.batch, 3, side, side), -2, 2))


def state_dict(case: Case, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Drawn weights under torchvision's names, whole, as its own files are."""
    drawn = {name: torch.from_numpy(v) for name, v in seeded.weights(SEED, shapes, case.gain).items()}
    counters = {name: torch.tensor(0) for name in shapes if name.endswith("num_batches_tracked")}
    return drawn | counters


def settings_of(case: Case) -> Settings:
    """Ours, without dropout: two networks never drop the same units."""
    flags: dict[str, Any] = {"model": case.preset}
    if not case.preset.startswith("resnet"):
        flags["dropout"] = 0
    if case.preset.startswith("googlenet"):
        flags["auxiliary_dropout"] = 0
    return build_settings(None, flags)


def build(case: Case, side: int, weights: Mapping[str, torch.Tensor]) -> Network:
    """Our network with torchvision's weights, read from a file as `--pretrained FILE` reads it."""
    model = settings_of(case).model
    assert model is not None
    network = build_model(model, channels=3, image_size=(side, side), num_classes=CLASSES, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{case.name}.pth"
        torch.save(dict(weights), file)
        report = load_pretrained(network, model, str(file))
    assert not report.fresh and not report.unused, report.line()
    return network


def their_names(case: Case, network: Network) -> dict[str, str]:
    """What torchvision calls each of our tensors."""
    model = settings_of(case).model
    assert model is not None
    names = foreign_names(model, network.state_dict())
    assert names is not None
    return names


@torch.no_grad()
def outputs(network: torch.nn.Module, batch: torch.Tensor, names: Mapping[str, str] | None = None) -> Arrays:
    """Logits in evaluation mode; then, in training mode, those of all heads, and what became of the moving figures.

    Auxiliary heads come in the order of the body. `names` brings our tensors' names into torchvision's.
    """
    found: Arrays = {"eval": network.eval()(batch).numpy()}
    heads = network.train()(batch)
    if isinstance(heads, tuple) and hasattr(heads, "aux_logits1"):
        heads = (heads.logits, heads.aux_logits1, heads.aux_logits2)  # pyright: ignore[reportAttributeAccessIssue]
    for number, head in enumerate(heads if isinstance(heads, tuple) else (heads,)):
        found[f"train{number}"] = head.numpy()
    moved = {(names or {}).get(n, n): b for n, b in network.named_buffers() if n.endswith(("_mean", "_var"))}
    if moved:
        found["moved"] = torch.cat([moved[name] for name in sorted(moved)]).numpy()
    return found


def stored_outputs(found: Mapping[str, NDArray[Any]]) -> Arrays:
    """The part kept for the tests: logits whole, of the moving figures norm and some values."""
    return {name: summary(value) if name == "moved" else value for name, value in found.items()}
