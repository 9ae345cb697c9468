"""ONNX Runtime on a file that `sightline export` wrote: pixels to probabilities without torch.

Everything that a file could do besides computing is refused before ONNX Runtime sees it: data in other files, operators
of other libraries, subgraphs, functions. What is left is a list of ONNX's own operators over the tensors inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.classifier.header import HEADER_KEY, ONNX_FORMAT_VERSION, OnnxHeader, read_header
from sightline.errors import FileError, ResourceError, needs

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "probabilities"
EXPECTED = "a file that sightline export wrote"
LARGEST_FILE = 2**31 - 1
MOST_PIXELS = 4096 * 4096
STANDARD_DOMAINS = ("", "ai.onnx")
# From onnx.proto: the type of a tensor's elements, and where its values are.
UINT8, FLOAT32, IN_ANOTHER_FILE = 2, 1, 1
# The part of onnx.proto that tells what a file refers to; all other fields stay unread. Message -> field -> its number
# and its kind: * for many, lower case for the wire's own kinds.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Model": {
        "graph": (7, "Graph"),
        "opset_import": (8, "*Opset"),
        "metadata_props": (14, "*Entry"),
        "training_info": (20, "*bytes"),
        "functions": (25, "*bytes"),
    },
    "Opset": {"domain": (1, "string"), "version": (2, "int64")},
    "Entry": {"key": (1, "string"), "value": (2, "string")},
    "Graph": {
        "node": (1, "*Node"),
        "initializer": (5, "*Tensor"),
        "input": (11, "*Value"),
        "output": (12, "*Value"),
        "sparse_initializer": (15, "*bytes"),
    },
    "Node": {"op_type": (4, "string"), "attribute": (5, "*Attribute"), "domain": (7, "string")},
    "Attribute": {
        "tensor": (5, "Tensor"),
        "graph": (6, "bytes"),
        "tensors": (10, "*Tensor"),
        "graphs": (11, "*bytes"),
        "sparse_tensor": (22, "bytes"),
        "sparse_tensors": (23, "*bytes"),
    },
    "Tensor": {"external_data": (13, "*bytes"), "data_location": (14, "int32")},
    "Value": {"name": (1, "string"), "type": (2, "Type")},
    "Type": {"tensor_type": (1, "TensorType")},
    "TensorType": {"elem_type": (1, "int32"), "shape": (2, "Shape")},
    "Shape": {"dim": (1, "*Dim")},
    "Dim": {"dim_value": (1, "int64"), "dim_param": (2, "string")},
}


class OnnxBackend:
    """Probabilities from an ONNX Runtime session on the CPU, one operator after the other.

    `threads` is how many compute one operator, None as many as there are cores. Calls from several threads are safe.
    """

    def __init__(self, content: bytes, subject: str, num_classes: int, *, threads: int | None = None) -> None:
        self._subject = subject
        self._num_classes = num_classes
        self._session = _session(content, subject, threads)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) to float32 (N, K); each row sums to 1."""
        try:
            found: Any = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(pixels)})[0]
        except Exception as error:  # ONNX Runtime has a class for every status, with RuntimeError above some of them
            if "alloc" in str(error).lower():
                raise ResourceError("inference", "memory ran out", advice="make --batch-size smaller") from error
            raise FileError(self._subject, f"ONNX Runtime fails ({_first_line(error)})", EXPECTED) from error
        if found.shape != (len(pixels), self._num_classes) or found.dtype != np.float32:
            raise FileError(self._subject, f"it gives {found.dtype} {found.shape} for {len(pixels)} images", EXPECTED)
        return found


def from_file(path: Path, *, threads: int | None = None) -> tuple[OnnxBackend, OnnxHeader]:
    """Read an ONNX file and what it says of itself. Raises FileError for any but a whole one of Sightline's."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise FileError(str(path), f"{size:,} bytes", f"at most {LARGEST_FILE:,}, the most that ONNX allows")
        content = path.read_bytes()
    except OSError as error:
        raise FileError(str(path), f"cannot be read ({(error.strerror or 'no reason given').lower()})") from None
    return from_bytes(content, str(path), threads=threads)


def from_bytes(content: bytes, subject: str, *, threads: int | None = None) -> tuple[OnnxBackend, OnnxHeader]:
    """The same for a file's bytes, which messages call `subject`."""
    header = read_onnx_header(content, subject)
    return OnnxBackend(content, subject, len(header.class_names), threads=threads), header


def read_onnx_header(content: bytes, subject: str) -> OnnxHeader:
    """Check that an ONNX file is Sightline's and whole in itself, and tell what it says of itself. Computes nothing.

    Raises FileError.
    """
    from google.protobuf.message import DecodeError

    try:
        model = _message_class().FromString(content)
    except (DecodeError, ValueError):
        raise FileError(subject, "truncated, or no ONNX file", EXPECTED) from None
    texts = [entry.value for entry in model.metadata_props if entry.key == HEADER_KEY]
    if len(texts) != 1:
        raise FileError(subject, "an ONNX file without Sightline's metadata, or a truncated one", EXPECTED)
    header = read_header(subject, texts[0], OnnxHeader, (ONNX_FORMAT_VERSION,))
    for wrong in (*_reaching_out(model), *_other_ends(model, header)):
        raise FileError(subject, wrong, EXPECTED)
    return header


def _reaching_out(model: Any) -> Iterator[str]:
    """Say what in the file is more than operators and tensors."""
    graph = model.graph
    if any(_elsewhere(tensor) for tensor in graph.initializer):
        yield "it refers to data in another file"
    if any(opset.domain not in STANDARD_DOMAINS for opset in model.opset_import):
        yield "it needs operators that are not ONNX's own"
    if model.training_info or model.functions or graph.sparse_initializer:
        yield "it holds functions, sparse tensors or a training graph"
    for node in graph.node:
        if node.domain not in STANDARD_DOMAINS:
            yield f"it needs the operator {node.domain[:40]}.{node.op_type[:40]}, which is not ONNX's own"
        for attribute in node.attribute:
            if _elsewhere(attribute.tensor) or any(_elsewhere(tensor) for tensor in attribute.tensors):
                yield "it refers to data in another file"
            if attribute.graph or attribute.graphs or attribute.sparse_tensor or attribute.sparse_tensors:
                yield f"its operator {node.op_type[:40]} holds a graph or a sparse tensor"


def _elsewhere(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location == IN_ANOTHER_FILE


def _other_ends(model: Any, header: OnnxHeader) -> Iterator[str]:
    """Say in what the graph's input and output differ from what the header promises."""
    wanted = header.preprocessing
    if wanted.height * wanted.width > MOST_PIXELS:
        yield f"it takes images of {wanted.height} x {wanted.width} pixels, more than {MOST_PIXELS:,}"
    ends = (
        ("input", model.graph.input, INPUT, UINT8, (wanted.height, wanted.width, wanted.channels)),
        ("output", model.graph.output, OUTPUT, FLOAT32, (len(header.class_names),)),
    )
    for end, values, name, kind, sizes in ends:
        if [value.name for value in values] != [name]:
            listed = ", ".join(value.name[:40] for value in values[:3])
            yield f"its {end}s are '{listed}', not '{name}' alone"
            continue
        tensor = values[0].type.tensor_type
        found = [dim.dim_value for dim in tensor.shape.dim]  # 0 where it is left open
        if tensor.elem_type != kind or found[1:] != list(sizes):
            shape = ", ".join(["N", *map(str, sizes)])
            yield f"its {end} is not {'uint8' if kind == UINT8 else 'float32'} ({shape})"
        elif found[0] != 0:
            yield f"its {end} has a fixed number of images"


def _session(content: bytes, subject: str, threads: int | None) -> InferenceSession:
    with needs(subject, "export", "onnxruntime", why="it computes ONNX files"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Its own format, which it would take for one by the file's first bytes, is not what was checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise FileError(subject, f"ONNX Runtime cannot use it ({_first_line(error)})", EXPECTED) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


@cache
def _message_class() -> Any:
    """Build the protobuf class of a model, as far as SCHEMA goes."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sightline_onnx.proto", package="sightline", syntax="proto3")
    for message, fields in SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            plain = kind.removeprefix("*")
            field = described.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if kind != plain else kinds.LABEL_OPTIONAL
            if plain in SCHEMA:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".sightline.{plain}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sightline.Model"))
