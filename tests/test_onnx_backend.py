"""ONNX files made by hand with the onnx package: answers against NumPy, and everything that must be refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sightline
from helpers.onnx_files import HEIGHT, NAMES, WEIGHTS, WIDTH, expected, hand_made, hand_made_file, header, some_pixels
from sightline.classifier import onnx_backend
from sightline.errors import FileError, UsageError


@pytest.fixture
def file(tmp_path) -> Path:
    return hand_made_file(tmp_path)


@pytest.fixture
def pixels() -> np.ndarray:
    return some_pixels()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_answers_are_numpys(file, pixels, batch_size):
    classifier = sightline.load(file, threads=1)
    found = classifier.probabilities(pixels, batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(pixels), atol=1e-6)
    assert classifier.class_names == NAMES and classifier.size == (HEIGHT, WIDTH, 1)
    assert classifier.model is None and classifier.temperature == 1


def test_pictures_of_any_memory_layout(file, pixels):
    turned = np.asfortranarray(pixels)
    np.testing.assert_allclose(sightline.load(file).probabilities(turned), expected(pixels), atol=1e-6)


def test_predicts_what_is_likeliest(file, pixels):
    answers = sightline.load(str(file)).predict([image for image in pixels])
    assert [answer.label for answer in answers] == [NAMES[i] for i in expected(pixels).argmax(axis=1)]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(file, part):
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileError, match="truncated"):
        sightline.load(file)


def test_every_prefix_is_refused(file):
    content = file.read_bytes()
    for length in range(len(content)):
        with pytest.raises(FileError):
            onnx_backend.read_onnx_header(content[:length], "prefix")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (header(format_version=9), "format version is 9 (expected version 1 or 2)"),
        ("{", "header is damaged"),
        ("[" * 100_000, "header is damaged"),
        ("[]", "header is damaged"),
        (header(class_names=["one"]), "header is damaged"),
        (header(surprise=1), "header is damaged"),
        (header(temperature=0), "header is damaged"),
        (header(class_names=["a", "b"]), "its output is not float32 (N, 2)"),
        (header(preprocessing={"height": 9, "width": 9, "channels": 1}), "its input is not uint8 (N, 9, 9, 1)"),
        (header(preprocessing={"height": 10**6, "width": 10**6, "channels": 1}), "1000000 x 1000000 pixels"),
    ],
)
def test_a_header_that_is_wrong(tmp_path, text, message):
    refused(tmp_path, hand_made(text=text), message)


def test_a_header_beyond_all_measure(tmp_path, monkeypatch):
    monkeypatch.setattr("sightline.classifier.header.MOST_CHARACTERS", 100)
    refused(tmp_path, hand_made(), "at most 100")


def no_metadata(model):
    del model.metadata_props[:]


def two_headers(model):
    model.metadata_props.add(key="sightline", value=header())


def data_in_another_file(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")


def attribute_in_another_file(model):
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    model.graph.node.add(op_type="Constant", output=["c"]).attribute.add(
        name="value", type=onnx.AttributeProto.TENSOR, t=tensor
    )


def list_of_tensors_in_another_file(model):
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="/etc/hostname")
    model.graph.node[0].attribute.add(name="many", type=onnx.AttributeProto.TENSORS, tensors=[tensor])


def foreign_operator(model):
    model.opset_import.add(domain="com.evil", version=1)


def foreign_node(model):
    model.graph.node[0].domain = "com.microsoft"


def subgraph(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH, g=inner)


def function(model):
    model.functions.add(name="f", domain="")


def training(model):
    model.training_info.add().algorithm.name = "steps"


def sparse(model):
    model.graph.sparse_initializer.add().dims.append(1)


def floats_in(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def fixed_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def other_output(model):
    model.graph.output[0].name = "logits"


def no_output(model):
    del model.graph.output[:]


def unknown_operator(model):
    model.graph.node[1].op_type = "Flattest"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_metadata, "it has no Sightline metadata"),
        (two_headers, "it has no Sightline metadata"),
        (data_in_another_file, "refers to data in another file"),
        (attribute_in_another_file, "refers to data in another file"),
        (list_of_tensors_in_another_file, "refers to data in another file"),
        (foreign_operator, "operators that are not ONNX's own"),
        (foreign_node, "com.microsoft.Cast"),
        (subgraph, "Cast holds a graph"),
        (function, "functions"),
        (training, "training graph"),
        (sparse, "sparse tensors"),
        (floats_in, "its input is not uint8"),
        (fixed_batch, "fixed number of images"),
        (two_inputs, "its inputs are 'images, more'"),
        (other_output, "its outputs are 'logits'"),
        (no_output, "its outputs are ''"),
        (unknown_operator, "ONNX Runtime cannot use it"),
    ],
)
def test_a_file_that_is_more_or_other(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)  # where a name without a folder would be looked for
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    refused(tmp_path, hand_made(change), message)


def test_the_runtime_itself_would_have_read_the_other_file(tmp_path, monkeypatch):
    """Why the check is needed: without it a model file reads whatever file it names."""
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    path = tmp_path / "reading.onnx"
    path.write_bytes(hand_made(data_in_another_file).SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].name == "images"


def refused(folder: Path, model: onnx.ModelProto, message: str) -> None:
    path = folder / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        sightline.load(path)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02}", b"\x00\x00\x00\x00ORTM" + b"\0" * 90, b"\xff" * 99]
)
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(FileError, match="truncated"):
        sightline.load(tmp_path / "other.onnx")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="no such ONNX file"):
        sightline.load(tmp_path / "none.onnx")


def test_a_file_that_is_too_large(file, monkeypatch):
    monkeypatch.setattr(onnx_backend, "LARGEST_FILE", 10)
    with pytest.raises(FileError, match="at most 10"):
        sightline.load(file)


def test_an_output_that_is_not_what_the_file_says(tmp_path, pixels):
    """The header, the declared output and the weights' columns: the last of them tells the truth."""

    def one_class_less(model):
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS[:, :2].copy(), "weights"))

    (tmp_path / "lying.onnx").write_bytes(hand_made(one_class_less).SerializeToString())
    with pytest.raises(FileError):
        sightline.load(tmp_path / "lying.onnx").probabilities(pixels)


def test_it_is_computed_on_the_cpu(file):
    assert sightline.load(file, device="cpu").class_names == NAMES
    with pytest.raises(UsageError, match="cannot be computed on cuda"):
        sightline.load(file, device="cuda")
