"""Networks and training steps equal those of torchvision, Keras and TensorFlow, by outputs of theirs that are stored.

Made by the scripts in benchmarks/parity, which say how; both sides draw weights and images from the same seeds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks" / "parity"))

import seeded  # noqa: E402
import sightline_side  # noqa: E402
import torchvision_side  # noqa: E402
from programs import PROGRAMS, digest  # noqa: E402
from torchvision_side import CASES  # noqa: E402

Arrays = dict[str, NDArray[Any]]
TOLERANCE = 1e-4
# Training steps are in float64 on both sides, 1e-7 apart at most; stored they are in float32.
STEP_TOLERANCE = 1e-6
STEP_KINDS = ("gradient", "after1", "after2")
STORED = [case.name for case in CASES.values() if case.stored]


def stored(file: str, prefix: str) -> Arrays:
    with np.load(HERE / "data" / "parity" / file, allow_pickle=False) as opened:
        return {n.removeprefix(f"{prefix}/"): opened[n] for n in opened.files if n.startswith(f"{prefix}/")}


def assert_equal(found: Arrays, expected: Arrays, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_logits_are_those_of_the_keras_program(name: str) -> None:
    expected = stored("keras.npz", name)
    ours = sightline_side.compute_logits(PROGRAMS[name], sightline_side.SETTINGS[name]())
    assert_equal(ours, {key: expected[key] for key in ("parameters", "logits")}, TOLERANCE)


@pytest.mark.parametrize("name", [program.name for program in PROGRAMS.values() if program.steps])
def test_training_steps_are_those_of_the_keras_program(name: str) -> None:
    expected = stored("keras.npz", name)
    ours = digest(sightline_side.train(PROGRAMS[name], sightline_side.SETTINGS[name]()))
    np.testing.assert_allclose(ours["losses"], expected["losses"], rtol=0, atol=STEP_TOLERANCE)
    for kind in STEP_KINDS:
        assert str(ours[f"{kind}.names"]) == str(expected[f"{kind}.names"])
        np.testing.assert_allclose(ours[kind], expected[kind], rtol=0, atol=STEP_TOLERANCE, err_msg=kind)


def test_local_response_norm_is_tensorflows() -> None:
    maps = torch.from_numpy(seeded.uniform(0, "lrn", (4, 24, 6, 5), -30, 30))
    normed = sightline_side.local_response_norm()(maps).numpy()
    np.testing.assert_allclose(normed, stored("keras.npz", "lrn")["normed"], rtol=0, atol=TOLERANCE)


def test_moving_variances_are_those_of_the_fused_batch_norm() -> None:
    """Of tf.keras 2 and tf.layers, that is, over n - 1 values; Keras 3 averages over n."""
    moving = stored("keras.npz", "moving")
    norm = torch.nn.BatchNorm2d(3, momentum=0.1)
    norm(torch.from_numpy(seeded.uniform(0, "moving", (4, 3, 5, 6), -2, 3)))
    assert norm.running_var is not None
    np.testing.assert_allclose(norm.running_var, moving["fused"], rtol=0, atol=1e-6)
    values = 4 * 5 * 6
    np.testing.assert_allclose(moving["fused"] - 0.9, (moving["keras"] - 0.9) * values / (values - 1), rtol=1e-5)


@pytest.mark.parametrize("name", STORED)
def test_outputs_are_torchvisions_from_a_file_of_its_layout(name: str) -> None:
    case = CASES[name]
    assert case.stored is not None
    expected = stored("torchvision.npz", name)
    shapes = {key: tuple(shape) for key, shape in json.loads(str(expected.pop("shapes"))).items()}
    network = torchvision_side.build(case, case.stored, torchvision_side.state_dict(case, shapes))
    batch = torchvision_side.images(case, case.stored)
    found = torchvision_side.outputs(network, batch, torchvision_side.their_names(case, network))
    assert_equal(torchvision_side.stored_outputs(found), expected, TOLERANCE)
