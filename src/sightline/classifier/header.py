"""What a model file says of itself, whether it holds weights or is an ONNX file: JSON under the key `sightline`.

Free of torch, as is all that an ONNX file needs.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, TypeVar

from pydantic import Field

from sightline.data.preprocessing import Preprocessing
from sightline.errors import FileError
from sightline.files.reading import parse_json
from sightline.settings import ModelSettings, Resizing
from sightline.settings.base import Positive, Section

# A Sightline that knows no temperature, or no filter and crop of pictures but its own, would give other probabilities:
# so a file that has them says so, and only such a file.
FORMAT_VERSION, CALIBRATED_VERSION, RESIZED_VERSION = FORMAT_VERSIONS = (1, 2, 3)
ONNX_FORMAT_VERSION, ONNX_RESIZED_VERSION = ONNX_FORMAT_VERSIONS = (1, 2)
HEADER_KEY = "sightline"
MOST_PIXELS = 4096 * 4096
"""Pixels of the images that a network takes."""
MOST_CHARACTERS = 16 * 2**20


class ModelHeader(Section):
    """What a model file says of itself. `model` is None and `module` its class's name for a user's own module.

    `temperature` divides the logits before the softmax (arXiv 1706.04599).
    """

    format_version: int = FORMAT_VERSION
    model: ModelSettings | None = None
    module: str | None = None
    class_names: tuple[str, ...] = Field(min_length=2)
    preprocessing: Preprocessing
    temperature: Positive = 1.0


class OnnxHeader(ModelHeader):
    """What an ONNX file says of itself: the same, and the Sightline that wrote it.

    Normalisation, temperature and softmax are computed inside; they are told here for whoever wants to know.
    """

    format_version: int = ONNX_FORMAT_VERSION
    sightline_version: Annotated[str, Field(max_length=100)]


def header_text(header: ModelHeader) -> str:
    """Give the header as JSON, of the oldest version that can say it: what that does not know is left out."""
    onnx = isinstance(header, OnnxHeader)
    resizing = header.preprocessing.resizing
    left_out: dict[str, Any] = {}
    if resizing == Resizing(resizing.fit):
        left_out["preprocessing"] = {"interpolation", "crop_fraction"}
        calibrated = header.temperature != 1
        if not calibrated and not onnx:
            left_out["temperature"] = True
        version = ONNX_FORMAT_VERSION if onnx else CALIBRATED_VERSION if calibrated else FORMAT_VERSION
    else:
        version = ONNX_RESIZED_VERSION if onnx else RESIZED_VERSION
    return header.model_copy(update={"format_version": version}).model_dump_json(exclude=left_out)


Header = TypeVar("Header", bound=ModelHeader)


def read_header(subject: str, text: str, kind: type[Header], versions: tuple[int, ...]) -> Header:
    """Read the JSON of a file's header. Raises FileError, naming `subject`, for a damaged one or another version."""
    if len(text) > MOST_CHARACTERS:
        raise FileError(subject, f"its header has {len(text):,} characters", f"at most {MOST_CHARACTERS:,}")
    try:
        content: Any = parse_json(text)
        found = content.get("format_version")
        if found not in versions:
            known = f"version {' or '.join(map(str, versions))}"
            advice = "Use the version of Sightline that wrote it."
            raise FileError(subject, f"its format version is {found}"[:100], known, advice)
        header = kind.model_validate(content)
    except (ValueError, AttributeError):
        raise FileError(subject, "its header is damaged", "a Sightline model file") from None
    twice = [name for name, count in Counter(header.class_names).items() if count > 1]
    if twice:
        raise FileError(subject, f"it has the class '{twice[0][:100]}' twice", "each class once")
    height, width = header.preprocessing.height, header.preprocessing.width
    if height * width > MOST_PIXELS:
        raise FileError(subject, f"it takes images of {height} x {width} pixels"[:200], f"at most {MOST_PIXELS:,}")
    return header
