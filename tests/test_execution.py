"""How steps are executed: which form a run takes on which device, and what it says of that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import sightline as sl
from helpers.training import small
from sightline.device import Compute, resolve
from sightline.settings import build_settings
from sightline.settings.merge import settings_from_yaml, settings_to_yaml
from sightline.training.batches import BatchOrder
from sightline.training.execution import COMPILE_FROM_STEPS, GRAPH_FROM_STEPS, Execution, choose_execution

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def decided(total_steps: int, *, device: torch.device = CUDA, own: bool = False, **flags: Any) -> Execution:
    precision = flags.pop("precision", "bf16")
    settings = build_settings(None, {"batch_size": 16, **flags})
    if own:
        settings = settings.replace(model=None)
    order = BatchOrder(150, settings.training.batch_size, 0, settings.training.last_batch)
    return choose_execution(settings, Compute(device, precision), order, total_steps)


def test_the_length_of_the_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.training.execution.can_compile", lambda: True)
    forms = [
        (found.compiled, found.recorded)
        for found in map(decided, (1, GRAPH_FROM_STEPS - 1, GRAPH_FROM_STEPS, COMPILE_FROM_STEPS - 1, 10**6))
    ]
    assert forms == [(False, False), (False, False), (False, True), (False, True), (True, True)]
    monkeypatch.setattr("sightline.training.execution.can_compile", lambda: False)
    assert not decided(10**6).compiled
    assert decided(10**6, device=CPU) == decided(10**6, device=torch.device("mps")) == Execution()


@pytest.mark.parametrize(
    ("flags", "compiled", "recorded", "told"),
    [
        ({"execution": "eager"}, False, False, "steps run eagerly: as requested"),
        ({"execution": "graph"}, False, True, "as requested; the last batch of an epoch, of 6, runs eagerly"),
        ({"execution": "graph", "last_batch": "wrap"}, False, True, "steps run as a CUDA graph: as requested"),
        ({"execution": "compile"}, True, True, "steps run compiled, as a CUDA graph: as requested"),
        ({"execution": "compile", "precision": "fp16"}, True, False, "as requested; no graph, since the loss scaling"),
        ({"execution": "graph", "precision": "fp16"}, False, False, "graph was requested; no graph, since the loss"),
        ({"optimizer": "adadelta"}, False, False, "adadelta is none here"),
        ({"fused": False}, False, False, "sgd is none here"),
        ({"optimizer": "adam", "eps_hat": True}, False, False, "eps_hat sets another eps"),
        ({"batch_size": 200}, False, False, "no batch has the full size"),
        ({"own": True}, False, False, "a module of your own may ask the host"),
        ({"own": True, "execution": "graph"}, False, True, "as requested"),
        ({}, False, True, f"1,000 steps, and recording pays off from {GRAPH_FROM_STEPS}"),
    ],
)
def test_what_stands_against_recording_is_told(
    flags: dict[str, Any], compiled: bool, recorded: bool, told: str
) -> None:
    found = decided(1000, **flags)
    assert (found.compiled, found.recorded) == (compiled, recorded)
    assert found.line is not None and told in found.line and "\n" not in found.line


def test_a_graph_without_a_gpu_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    told = r"execution: graph needs an NVIDIA GPU, and the device is cpu \(expected eager or compile\)"
    with pytest.raises(sl.UsageError, match=told):
        small(tmp_path / "runs", execution="graph", device="cpu")
    assert not (tmp_path / "runs").exists()
    assert resolve(build_settings(None, {"execution": "eager", "device": "cpu"}).device).device == CPU


def test_settings_of_older_runs_are_read() -> None:
    text = settings_to_yaml(build_settings(None, {}))
    assert "execution: auto" in text
    for old, new in (("false", "eager"), ("true", "compile")):
        assert settings_from_yaml(text.replace("execution: auto", f"compile: {old}"), "it").device.execution == new


def test_the_gpu_benchmark_runs_without_one(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
    done = subprocess.run(
        [sys.executable, str(script), "--smoke", "--out", str(tmp_path / "gpu.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["smoke"] and found["skipped"]
    assert all(row["images_per_second"]["eager"]["median"] > 0 for row in found["steps"])
