"""Checkpoints: everything a run needs to go on as if it had never stopped, in one safetensors file.

Tensors are saved contiguous and copied back into the strides they had: fused optimizers walk parameter and state in
the order of memory, so a channels-last parameter with a contiguous state would go on wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from sightline.classifier.model_file import RESTORE, fill, pack, unpack
from sightline.errors import FileError
from sightline.files import atomic
from sightline.files.json_records import from_json
from sightline.files.reading import parse_json
from sightline.runs.folder import CHECKPOINT_HEADER

FORMAT_VERSION = 1


@dataclass
class TrainingState:
    """How far a run is: everything that is no tensor.

    `rows` counts the rows of each CSV file. `best_value` is the selected figure's best, of `best_epoch`. `seconds` is
    the time spent in training. `stopped` says why a run ended before its last step. `rate` is the learning rate of the
    last step; None before the first, and in a checkpoint of an older version. `table_sums` has the SHA-256 of each CSV
    file, with just these rows.
    """

    step: int = 0
    rate: float | None = None
    rows: dict[str, int] = field(default_factory=dict[str, int])
    table_sums: dict[str, str] = field(default_factory=dict[str, str])
    best_value: float | None = None
    best_epoch: int | None = None
    epochs_since_best: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    stopped: str | None = None
    precision: str = "fp32"
    threads: int = 1
    scaler: dict[str, float | int] = field(default_factory=dict[str, float | int])


def save_checkpoint(
    path: Path,
    state: TrainingState,
    sums: torch.Tensor,
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, torch.Tensor] | None,
) -> None:
    """Write a checkpoint, whole or not at all.

    `networks` is the model and, where these are on, its average and the first weights of an ensemble; `sums` are those
    of the epoch so far (logs.EpochSums).
    """
    tensors = {"sums": sums}
    for name, network in networks.items():
        tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
    for number, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{number}/{key}"] = value
    if best is not None:
        tensors |= {f"best/{key}": value for key, value in best.items()}
    header = json.dumps({"format_version": FORMAT_VERSION, **asdict(state)})
    atomic.write_bytes(path, pack(tensors, {CHECKPOINT_HEADER: header}))


def load_checkpoint(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    advice: str = RESTORE,
) -> tuple[TrainingState, torch.Tensor, dict[str, torch.Tensor] | None]:
    """Put a checkpoint's tensors back where they were, and return the rest.

    Raises FileError where the file is damaged, of another version, or does not fit the network; `advice` says what to
    do about one that has changed since it was written.
    """
    tensors, metadata = unpack(path, advice)
    state = read_state(path, metadata)
    try:
        for name, network in networks.items():
            fill(network, _below(tensors, name))
    except ValueError:
        raise FileError(
            str(path), "its tensors do not fit the network", "those of the network that settings.yaml describes"
        ) from None
    for number, parameter in enumerate(_parameters(optimizer)):
        for key, value in _below(tensors, f"optimizer/{number}").items():
            if value.shape == parameter.shape and value.ndim:
                optimizer.state[parameter][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            else:
                # Adam counts its steps on the CPU unless it is fused on a GPU.
                on_device = value.ndim or optimizer.param_groups[0].get("fused")
                optimizer.state[parameter][key] = value.to(device) if on_device else value
    return state, tensors["sums"].to(device), _below(tensors, "best") or None


def read_state(path: Path, metadata: Mapping[str, str]) -> TrainingState:
    """A checkpoint's header. Raises FileError where it is another kind of file or another version."""
    try:
        content = parse_json(metadata[CHECKPOINT_HEADER])
        found = content.pop("format_version")
    except (LookupError, ValueError, AttributeError, TypeError):
        raise FileError(str(path), "it is not a checkpoint", "a checkpoint that Sightline wrote") from None
    if found != FORMAT_VERSION:
        raise FileError(str(path), f"checkpoint version {found}"[:100], f"version {FORMAT_VERSION}")
    return from_json(TrainingState, content, path)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _below(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    start = f"{name}/"
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
