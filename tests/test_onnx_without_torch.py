"""The commands that take an ONNX file where torch and what else training needs are not installed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.onnx_files import CLASSES, COUNT, NAMES, expected, hand_made_file, some_pixels

ROOT = Path(__file__).parents[1]


@pytest.fixture
def file(tmp_path) -> Path:
    return hand_made_file(tmp_path)


@pytest.fixture
def pixels() -> np.ndarray:
    return some_pixels()


NO_TORCH = """
import sys
LEFT_OUT = ("torch", "sklearn", "scipy", "matplotlib", "safetensors", "onnx", "onnxscript")
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in LEFT_OUT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Blocker())
from sightline.cli.app import run
code = run(sys.argv[1:])
assert not set(LEFT_OUT) & set(sys.modules), set(LEFT_OUT) & set(sys.modules)
sys.exit(code)
"""


def torch_free(*words: str | Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return {"args": [sys.executable, "-c", NO_TORCH, *map(str, words)], "text": True, "env": environment}


def without_torch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**torch_free(*words), capture_output=True, check=False)


def test_predict_and_test_without_torch(file, pixels, tmp_path):
    right = expected(pixels).argmax(axis=1)
    assert set(right) == set(range(CLASSES))
    labels = [*right[:-1], (right[-1] + 1) % CLASSES]  # the last one is made a mistake
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image[:, :, 0]).save(tmp_path / "data" / NAMES[label] / f"{number}.png")
    predicted = without_torch("predict", file, tmp_path / "data", "--json")
    assert predicted.returncode == 0, predicted.stderr
    answers = {int(Path(answer["path"]).stem): answer["label"] for answer in json.loads(predicted.stdout)}
    assert answers == {number: NAMES[label] for number, label in enumerate(right)}
    tested = without_torch("test", file, "--data", tmp_path / "data", "--json")
    assert tested.returncode == 0, tested.stderr
    report = json.loads(tested.stdout)
    assert report["n"] == COUNT and report["accuracy"] == pytest.approx(1 - 1 / COUNT)


def test_serve_without_torch(file, pixels):
    requests = pytest.importorskip("requests")
    program = subprocess.Popen(
        **torch_free("serve", file, "--port", "0", "--json", "--max-batch", "4"), stdout=PIPE, stderr=PIPE
    )
    try:
        line = program.stdout.readline()
        assert line, program.stderr.read()
        stream = io.BytesIO()
        Image.fromarray(pixels[0, :, :, 0]).save(stream, "PNG")
        url = json.loads(line)["url"]
        answer = requests.post(
            f"{url}/v1/predict", data=stream.getvalue(), headers={"Content-Type": "image/png"}, timeout=20
        )
        found = {each["name"]: each["probability"] for each in answer.json()["predictions"][0]["classes"]}
        assert [found[name] for name in NAMES] == pytest.approx(expected(pixels)[0].tolist(), abs=1e-6)
        program.terminate()
        _, complaints = program.communicate(timeout=30)
        assert program.returncode == 0, complaints  # and what was left out is still left out
    finally:
        program.kill()
        program.communicate()


def test_what_needs_torch_says_so(file, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"\x10" + b"\0" * 30)
    weights = without_torch("predict", tmp_path / "weights.safetensors", file)
    assert weights.returncode == 4 and "torch is not installed" in weights.stderr
    trained = without_torch("train", "digits")
    assert trained.returncode == 2 and "it needs torch, which is not installed" in trained.stderr
    drawn = without_torch("test", file, "--data", "digits")
    assert drawn.returncode == 2 and "it needs scikit-learn, which is not installed" in drawn.stderr


def test_requirements_for_serving_are_the_constraints():
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    serving = pins("requirements-serve.txt")
    assert serving <= pins("constraints.txt")
    names = {line.split("==")[0] for line in serving}
    assert {"onnxruntime", "numpy", "pillow", "uvicorn"} <= names
    assert not names & {"torch", "scipy", "scikit-learn", "matplotlib", "onnx"}
