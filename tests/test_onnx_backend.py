"""ONNX files made by hand with the onnx package: answers against NumPy, and everything that must be refused."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import sightline
from sightline.classifier import onnx_backend
from sightline.classifier.onnx_schema import SCHEMA
from sightline.errors import FileError, UsageError

HEIGHT, WIDTH, CLASSES = 4, 5, 3
NAMES = ("cat", "dog", "emu")
COUNT = 12
WEIGHTS = np.random.default_rng(1).normal(size=(HEIGHT * WIDTH, CLASSES)).astype(np.float32) / 500
WEIGHTS -= WEIGHTS.mean(axis=0)
ROOT = Path(__file__).parents[1]

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


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "hand.onnx"
    path.write_bytes(hand_made().SerializeToString())
    return path


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (COUNT, HEIGHT, WIDTH, 1), dtype=np.uint8)


def expected(pixels: np.ndarray) -> np.ndarray:
    logits = pixels.reshape(len(pixels), -1).astype(np.float64) @ WEIGHTS.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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
        (header(format_version=9), "format version is 9 (expected version 1)"),
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


def number(value: int) -> bytes:
    """An int as protobuf writes it."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def field(place: int, content: bytes, tag: bytes | None = None) -> bytes:
    """A field of bytes, or a message."""
    return (tag or number(place << 3 | 2)) + number(len(content)) + content


def with_graph(graph: bytes) -> bytes:
    """The file whose graph these bytes are: the onnx package would put together what is there twice."""
    model = hand_made()
    model.ClearField("graph")
    return model.SerializeToString() + field(7, graph)


def with_more(more: bytes) -> bytes:
    return with_graph(hand_made().graph.SerializeToString() + more)


def reading_subgraph(location: str) -> bytes:
    """A node `If`, whose both branches give a tensor of another file, with an empty graph behind each of them."""
    tensor = TensorProto(name="inside", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    value = helper.make_tensor_value_info("branch", TensorProto.FLOAT, WEIGHTS.shape)
    inner = helper.make_graph([helper.make_node("Identity", ["inside"], ["branch"])], "inner", [], [value], [tensor])
    node = helper.make_node("If", ["yes"], ["weights"]).SerializeToString()
    for name in ("then_branch", "else_branch"):
        attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.GRAPH, g=inner)
        node += field(5, attribute.SerializeToString() + field(6, b""))
    return node


def with_reading_subgraph(location: str) -> bytes:
    graph = hand_made().graph
    graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(True), "yes"))
    return with_graph(field(1, reading_subgraph(location)) + graph.SerializeToString())


def with_attribute(more: bytes) -> bytes:
    return with_more(field(1, helper.make_node("Relu", ["a"], ["b"]).SerializeToString() + field(5, more)))


def with_tensor(more: bytes) -> bytes:
    return with_more(field(5, TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1]).SerializeToString() + more))


def with_input(change: Callable[[bytes], bytes]) -> bytes:
    """The file whose input's type is made another one."""
    graph = hand_made().graph
    kind = graph.input[0].type.tensor_type.SerializeToString()
    del graph.input[:]
    return with_graph(graph.SerializeToString() + field(11, field(1, b"images") + field(2, change(kind))))


def dims(*parts: bytes) -> bytes:
    return field(1, b"\x08\x02" + field(2, b"".join(field(1, part) for part in parts)))


GRAPH = helper.make_graph([], "inner", [], []).SerializeToString()
EXTERNAL = onnx.StringStringEntryProto(key="location", value="secret.bin").SerializeToString()
ANY, FOUR, FIVE, ONE = field(2, b"N"), b"\x08\x04", b"\x08\x05", b"\x08\x01"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_reading_subgraph("secret.bin"), "If holds a graph"),
        (with_attribute(field(6, b"")), "Relu holds a graph"),
        (with_attribute(field(6, GRAPH) + field(6, b"")), "Relu holds a graph"),
        (with_attribute(field(22, field(3, b"\1")) + field(22, b"")), "Relu holds a graph or a sparse tensor"),
        (with_attribute(field(11, b"")), "Relu holds a graph"),
        (with_attribute(field(5, field(13, EXTERNAL)) + field(5, b"")), "Attribute.tensor is there twice"),
        (with_attribute(field(10, field(13, EXTERNAL)) + field(10, b"")), "refers to data in another file"),
        (with_tensor(b"\x70\1\x70\0"), "Tensor.data_location is there twice"),
        (with_tensor(b"\x70\1\x70\7"), "Tensor.data_location is there twice"),  # 7 is none, so that 1 stays
        (with_tensor(b"\x70\7"), "refers to data in another file"),
        (with_tensor(b"\x72\1\1"), "has another type"),
        (with_tensor(field(13, EXTERNAL)), "refers to data in another file"),
        # The number of the field, 13, in more bytes than it needs, and in bytes whose highest bits get lost.
        (with_tensor(field(13, EXTERNAL, b"\xea\x80\0")), "a number in more bytes"),
        (with_tensor(field(13, EXTERNAL, b"\xea\x80\x80\x80\x10")), "a number in more bytes"),
        (with_more(b"\x0b\x0c"), "an unknown type"),
        (with_more(b"\0\0"), "an unknown type"),
        (hand_made().SerializeToString() + field(7, b""), "Model.graph is there twice"),
        (hand_made().SerializeToString() + field(20, b""), "training graph"),
        (hand_made().SerializeToString() + field(25, b""), "functions"),
        (with_more(field(15, b"")), "sparse tensors"),
        (with_more(field(1, field(7, b"com.evil") + field(7, b""))), "Node.domain is there twice"),
        (with_input(lambda kind: field(1, kind) + field(4, b"")), "its input is not uint8"),
        (with_input(lambda kind: field(4, b"") + field(1, kind)), "its input is not uint8"),
        (with_input(lambda kind: field(1, kind) + field(1, b"")), "Type.tensor_type is there twice"),
        (with_input(lambda _: dims(ANY, FOUR + ANY, FIVE, ONE)), "its input is not uint8"),
        (with_input(lambda _: dims(ANY, FOUR, FIVE + field(2, b""), ONE)), "its input is not uint8"),
        (with_input(lambda _: dims(ANY + b"\x08\0", FOUR, FIVE, ONE)), "fixed number of images"),
        (with_input(lambda _: dims()), "its input is not uint8"),
    ],
)
def test_bytes_that_another_reader_takes_for_another_file(tmp_path, content, message):
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        onnx_backend.read_onnx_header(content, "odd")
    assert len(str(caught.value)) < 300


def test_the_way_in_which_those_bytes_are_put_together_changes_nothing():
    for content in (
        with_more(b""),
        with_input(lambda kind: field(1, kind)),
        with_input(lambda _: dims(ANY, FOUR, FIVE, ONE)),
        with_input(lambda _: dims(b"", FOUR, FIVE, ONE)),
        with_tensor(b"\x70\0"),
        with_attribute(field(5, TensorProto(name="t").SerializeToString())),
    ):
        assert onnx_backend.read_onnx_header(content, "hand").class_names == NAMES


def test_the_runtime_itself_would_have_computed_the_graph_behind_an_empty_one(tmp_path, pixels):
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    path = tmp_path / "reading.onnx"
    path.write_bytes(with_reading_subgraph("secret.bin"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": pixels})
    np.testing.assert_allclose(found, expected(pixels), atol=1e-6)


# What holds no data of another file and no graph, or only names: it stays unread.
HARMLESS = {
    "ModelProto.configuration",
    "GraphProto.value_info",
    "GraphProto.quantization_annotation",
    "NodeProto.device_configurations",
    "AttributeProto.tp",
    "AttributeProto.type_protos",
    "TensorProto.segment",
}
ONNX_NAMES = {
    "ModelProto": "Model",
    "OperatorSetIdProto": "Opset",
    "StringStringEntryProto": "Entry",
    "GraphProto": "Graph",
    "NodeProto": "Node",
    "AttributeProto": "Attribute",
    "TensorProto": "Tensor",
    "ValueInfoProto": "Value",
    "TypeProto": "Type",
    "TypeProto.Tensor": "TensorType",
    "TensorShapeProto": "Shape",
    "TensorShapeProto.Dimension": "Dim",
}


def test_every_message_within_a_file_is_read_or_refused_or_harmless():
    assert set(ONNX_NAMES.values()) == set(SCHEMA)
    described = onnx.ModelProto.DESCRIPTOR.file
    unread = set()
    for onnx_name, own_name in ONNX_NAMES.items():
        outer, _, inner = onnx_name.partition(".")
        message = described.message_types_by_name[outer]
        message = message.nested_types_by_name[inner] if inner else message
        own = dict(SCHEMA[own_name].values())
        for found in message.fields:
            kind = own.pop(found.number, None)
            if found.message_type is not None and kind is None and found.name != "metadata_props":
                unread.add(f"{onnx_name}.{found.name}")
            elif found.message_type is not None and kind is not None and kind != "*bytes":
                name = found.message_type.full_name.removeprefix("onnx.")
                assert kind == "*" * found.is_repeated + ONNX_NAMES[name]
            elif kind is not None:
                others = {found.TYPE_STRING: "string"}
                assert kind == "*bytes" or (kind == others.get(found.type, "int") and not found.is_repeated)
        assert not own, f"{own_name} has fields that ONNX has not"
    assert unread == HARMLESS


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
