"""A linear classifier as an ONNX file, made by hand with the onnx package, and its answers by NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH, CLASSES = 4, 5, 3
NAMES = ("cat", "dog", "emu")
COUNT = 12
WEIGHTS = np.random.default_rng(1).normal(size=(HEIGHT * WIDTH, CLASSES)).astype(np.float32) / 500
WEIGHTS -= WEIGHTS.mean(axis=0)

Change = Callable[[onnx.ModelProto], None]


def header(**changes) -> str:
    preprocessing = {"height": HEIGHT, "width": WIDTH, "channels": 1}
    content = {"format_version": 1, "class_names": NAMES, "preprocessing": preprocessing, "sightline_version": "0"}
    return json.dumps({**content, **changes})


def hand_made(change: Change | None = None, text: str | None = None) -> onnx.ModelProto:
    """A linear classifier, softmax(pixels @ WEIGHTS), as a file of ours."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.metadata_props.add(key="sightline", value=header() if text is None else text)
    if change is not None:
        change(model)
    return model


def hand_made_file(folder: Path) -> Path:
    path = folder / "hand.onnx"
    path.write_bytes(hand_made().SerializeToString())
    return path


def some_pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (COUNT, HEIGHT, WIDTH, 1), dtype=np.uint8)


def expected(pixels: np.ndarray) -> np.ndarray:
    logits = pixels.reshape(len(pixels), -1).astype(np.float64) @ WEIGHTS.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
