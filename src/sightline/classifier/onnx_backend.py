"""ONNX Runtime on a file that `sightline export` wrote: pixels to probabilities without torch.

Everything that a file could do besides computing is refused before ONNX Runtime sees it: data in other files, operators
of other libraries, subgraphs, functions. What is left is a list of ONNX's own operators over the tensors inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.classifier.header import HEADER_KEY, ONNX_FORMAT_VERSIONS, OnnxHeader, read_header
from sightline.classifier.onnx_schema import around_entry, read_model
from sightline.errors import FileError, ResourceError, needs
from sightline.files.reading import read_bytes
from sightline.files.sums import SUM_KEY

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "probabilities"
EXPECTED = "a file that sightline export wrote"
LARGEST_FILE = 2**31 - 1
"""The limit of ONNX."""
STANDARD_DOMAINS = ("", "ai.onnx")
# From onnx.proto: the type of a tensor's elements, and where its values are.
UINT8, FLOAT32, IN_THE_FILE = 2, 1, 0


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
                raise ResourceError("inference", "memory ran out", advice="Use smaller batches.") from error
            raise FileError(self._subject, f"ONNX Runtime fails: {_first_line(error)}", EXPECTED) from error
        if found.shape != (len(pixels), self._num_classes) or found.dtype != np.float32:
            raise FileError(self._subject, f"it gives {found.dtype} {found.shape} for {len(pixels)} images", EXPECTED)
        return found


def from_file(path: Path, *, threads: int | None = None) -> tuple[OnnxBackend, OnnxHeader]:
    """Read an ONNX file and what it says of itself. Raises FileError for any but a whole one of Sightline's."""
    return from_bytes(read_bytes(path, EXPECTED, LARGEST_FILE), str(path), threads=threads)


def from_bytes(content: bytes, subject: str, *, threads: int | None = None) -> tuple[OnnxBackend, OnnxHeader]:
    """The same for a file's bytes, which messages call `subject`."""
    header = read_onnx_header(content, subject)
    return OnnxBackend(content, subject, len(header.class_names), threads=threads), header


def read_onnx_header(content: bytes, subject: str) -> OnnxHeader:
    """Check that an ONNX file is Sightline's and whole in itself, and tell what it says of itself. Computes nothing.

    Raises FileError.
    """
    try:
        model = read_model(content)
    except ValueError as error:
        raise FileError(subject, f"it is truncated or no ONNX file: {error}", EXPECTED) from None
    texts = [entry.value for entry in model.metadata_props if entry.key == HEADER_KEY]
    if len(texts) != 1:
        raise FileError(subject, "it has no Sightline metadata, or is truncated", EXPECTED)
    wanted = [entry.value for entry in model.metadata_props if entry.key == SUM_KEY]
    if wanted and wanted != [sum_of(content)]:
        found = "it has changed since it was exported, by the SHA-256 in its metadata"
        raise FileError(subject, found, advice="Restore a copy of it, or export it again.")
    header = read_header(subject, texts[0], OnnxHeader, ONNX_FORMAT_VERSIONS)
    for wrong in (*_reaching_out(model), *_other_ends(model, header)):
        raise FileError(subject, wrong, EXPECTED)
    return header


def sum_of(content: bytes) -> str:
    """The SHA-256 of a file's bytes but for the metadata entry that has it."""
    digest = hashlib.sha256()
    for part in around_entry(content, SUM_KEY):
        digest.update(part)
    return digest.hexdigest()


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
    return bool(tensor.external_data) or tensor.data_location not in (None, IN_THE_FILE)


def _other_ends(model: Any, header: OnnxHeader) -> Iterator[str]:
    """Say in what the graph's input and output differ from what the header promises."""
    wanted = header.preprocessing
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
        images, *found = [dim.dim_value for dim in tensor.shape.dim] or [None]  # None where it is left open
        if _other_type(values[0].type) or tensor.elem_type != kind or found != list(sizes):
            shape = ", ".join(["N", *map(str, sizes)])
            yield f"its {end} is not {'uint8' if kind == UINT8 else 'float32'} ({shape})"
        elif images is not None:
            yield f"its {end} has a fixed number of images"


def _other_type(kind: Any) -> bool:
    """Whether it is also said to be no tensor, or one of its sizes to be open."""
    others = (kind.sequence_type, kind.map_type, kind.opaque_type, kind.sparse_tensor_type, kind.optional_type)
    return any(others) or any(dim.dim_param for dim in kind.tensor_type.shape.dim[1:])


def _session(content: bytes, subject: str, threads: int | None) -> InferenceSession:
    with needs(subject, "export", "onnxruntime", why="computes ONNX files"):
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
        raise FileError(subject, f"ONNX Runtime cannot use it: {_first_line(error)}", EXPECTED) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
