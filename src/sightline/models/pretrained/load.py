"""Filling a network with foreign weights, and a report of what was done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sightline.errors import FileError
from sightline.files.reading import parse_json
from sightline.models.network import Network
from sightline.models.pretrained import hub
from sightline.models.pretrained.files import WeightsFile, read_weights
from sightline.models.pretrained.fit import fill, first_few, fit
from sightline.models.pretrained.names import AUXILIARY, COUNTER, LAST_LAYER, foreign_names, recognize
from sightline.models.pretrained.timm_files import conformed, timm_names
from sightline.recipes.packaged_weights import packaged_weights
from sightline.recipes.timm_catalog import timm_entry
from sightline.recipes.weights_input import published_input
from sightline.runs.folder import RunFolder
from sightline.runs.records import Pretrained
from sightline.settings.model import ModelSettings, TimmSettings, model_name


@dataclass(frozen=True)
class PretrainedReport(Pretrained):
    """What `load_pretrained` did."""

    def line(self) -> str:
        """One line for people."""
        loaded = sum(not name.endswith(COUNTER) for name in self.loaded)
        everything = loaded + len(self.fresh)
        parts = [f"weights from {self.file} (sha256 {self.sha256[:8]}): {loaded} of {everything} tensors"]
        if "head.dense.weight" in self.fresh:
            there, here = self.classes
            parts.append(f"the last layer starts fresh ({there or 'no'} classes there, {here} here)")
        if any(AUXILIARY.match(name) and not LAST_LAYER.match(name) for name in self.fresh):
            parts.append("the auxiliary heads start fresh, since the file has none")
        there, here = self.channels
        if there != here:
            how = "summed over its channels for gray" if here < there else "divided among three channels for colour"
            parts.append(f"the first convolution is {how} images")
        if unused := [name for name in self.unused if not name.endswith(COUNTER)]:
            parts.append(f"not used: {first_few(unused)}")
        return "; ".join(parts)


def load_pretrained(network: Network, settings: ModelSettings, source: str) -> PretrainedReport:
    """Fill `network`, which was built from `settings`, with the weights of `source`; all or nothing is changed.

    `source` is a state dict of torchvision or timm (torch.save's or safetensors), a model file or run folder of
    Sightline, or `imagenet`, the weights that the network's publishers trained, which are downloaded once. The numbers
    of classes and of channels are read from the network: a last layer of other classes stays as it was built, and the
    first convolution is summed over its channels for gray images, or divided among them for colour ones. Weights of 16
    or 64 bits become float32.

    Raises FileError for a file that is missing, damaged, no weights, or of another network, naming the tensors, and
    where nothing can be downloaded; UsageError where huggingface_hub is missing.
    """
    weights, file = _open(network, settings, source)
    ours = list(network.state_dict())
    own = "sightline" in weights.metadata or any(name in weights.tensors for name in ours)
    names = {name: name for name in ours} if own else _names(settings, ours, weights.tensors)
    if names is None:
        raise _foreign(weights, settings)
    tensors, left_out = weights.tensors, list[str]()
    if isinstance(settings, TimmSettings) and not own:
        tensors, left_out = conformed(network, settings, tensors, names)
    found = fit(network, tensors, names)
    if found.mismatch:
        advice = _advice(weights, settings)
        raise FileError(weights.subject, found.mismatch, f"the tensors of {model_name(settings)}", advice)
    fill(network, tensors, names, found.loaded, weights.subject)
    published = published_input(settings)
    return PretrainedReport(
        source=source,
        file=file,
        sha256=weights.sha256,
        layout="sightline" if own else "timm" if isinstance(settings, TimmSettings) else "torchvision",
        loaded=tuple(found.loaded),
        fresh=tuple(found.fresh),
        unused=(*found.unused, *left_out),
        classes=found.classes,
        channels=found.channels,
        normalize=None if own or published is None else published.normalize,
    )


def _open(network: Network, settings: ModelSettings, source: str) -> tuple[WeightsFile, str]:
    """Read what `source` means, and give the name of the file behind it."""
    if source.lower() == hub.NAME:
        preset = _architecture(network, settings)
        if (packaged := packaged_weights(preset)) is not None:
            return read_weights(packaged), packaged.name
        entry = timm_entry(settings.architecture) if isinstance(settings, TimmSettings) else None
        repository = entry.repository if entry else hub.repository(preset, model_name(settings))
        if repository is None:
            raise FileError(f"--pretrained {hub.NAME}", f"timm has no weights of {model_name(settings)}", "a file")
        file = hub.download(repository, entry.file if entry else hub.FILE, _bytes(network))
        return read_weights(file, repository), repository
    path = Path(source).expanduser()
    if path.is_dir():
        path = RunFolder.open(path).model_file()
    return read_weights(path), path.name


def _bytes(network: Network) -> int:
    """About how large a file of its weights is: float32, with a last layer of ImageNet's classes."""
    state = network.state_dict()
    last = state["head.dense.weight"]
    return 4 * (sum(tensor.numel() for tensor in state.values()) + (1000 - last.shape[0]) * last.shape[1])


def _names(settings: ModelSettings, ours: list[str], file: Iterable[str]) -> dict[str, str] | None:
    """Give the name of each of our tensors in the file of another program; None where no other has the network."""
    return timm_names(settings, ours) if isinstance(settings, TimmSettings) else foreign_names(settings, ours, file)


def _architecture(network: Network, settings: ModelSettings) -> str | None:
    """Name the preset that the network is by its tensors' shapes, whatever its other settings are."""
    state = network.state_dict()
    names = foreign_names(settings, state)
    return recognize({names[name]: tuple(value.shape) for name, value in state.items()})[1] if names else None


def _foreign(weights: WeightsFile, settings: ModelSettings) -> FileError:
    """Say that a network which only Sightline has cannot take another program's weights."""
    looks, preset = recognize(weights.shapes)
    return FileError(
        weights.subject,
        f"it holds {f'tensors of {looks}' if looks else f'the tensors {first_few(list(weights.tensors))}'}",
        f"weights that Sightline wrote, since no other program has {model_name(settings)}",
        f"Use --model {preset}." if preset else "",
    )


def _advice(weights: WeightsFile, settings: ModelSettings) -> str:
    """Say which model the file fits, where it can be told."""
    if any(name.startswith("model/") for name in weights.tensors):
        return "It is a Sightline checkpoint. Give its run folder."
    looks, preset = recognize(weights.shapes)
    if not looks:
        preset = looks = _own_model(weights)
    if looks and preset and preset != model_name(settings):
        return f"It looks like {looks}. Use --model {preset}."
    return f"It looks like {looks}." if looks else ""


def _own_model(weights: WeightsFile) -> str | None:
    """Name the model that a Sightline file says it is."""
    try:
        header = parse_json(weights.metadata["sightline"])
        model: ModelSettings = TypeAdapter(ModelSettings).validate_python(header["model"])
        return model_name(model)
    except (LookupError, TypeError, ValueError):
        return None
