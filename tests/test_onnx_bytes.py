"""ONNX files whose bytes two readers take for different files: those are refused, and nothing stays unseen."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.onnx_files import NAMES, WEIGHTS, expected, hand_made, some_pixels
from sightline.classifier import onnx_backend
from sightline.classifier.onnx_schema import SCHEMA
from sightline.errors import FileError


@pytest.fixture
def pixels() -> np.ndarray:
    return some_pixels()


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
