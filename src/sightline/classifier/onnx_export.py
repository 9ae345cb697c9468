"""A trained classifier as one ONNX file, published only when it answers as the classifier does.

The graph takes uint8 (N, H, W, C) of the model's size, any N, and gives probabilities: normalisation, temperature and
softmax are inside, so that whoever runs it needs nothing but the one decoder. N images, K classes.

Opset 23 is the newest that torch's exporter counts as its own (ONNX_MAX_OPSET, torch 2.11 to 2.13); ONNX Runtime 1.32
makes the same fused operators of it as of opsets 18 to 25.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.classifier import ONNX_SUFFIX, Classifier, load
from sightline.classifier.header import HEADER_KEY, OnnxHeader, header_text
from sightline.classifier.images import images_to_test
from sightline.classifier.input_step import InputStep
from sightline.classifier.onnx_backend import INPUT, OUTPUT, OnnxBackend, from_bytes, sum_of
from sightline.classifier.torch_backend import TorchBackend
from sightline.data.decoder import fit_images
from sightline.data.preprocessing import Preprocessing
from sightline.errors import DataError, NumericError, UsageError, needs
from sightline.files import atomic, sums
from sightline.files.sums import SUM_KEY
from sightline.installation import version
from sightline.runs.folder import RunFolder
from sightline.settings import DataSettings, Resizing, build_data_settings

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 23
IMAGES = 1000
BATCH_SIZES = (1, 3, 16)
MOST_DIFFERENCE, MARGIN = 1e-4, 1e-3
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHATTER = ("torch.onnx", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class Parity:
    """How an ONNX file's answers compare with the classifier's, over batches of 1, 3 and 16.

    `max_difference`: the largest of any probability. `top1_agreement`: part of the images whose answer is always the
    same. `accuracy`: the ONNX file's, None without labels.
    """

    max_difference: float
    top1_agreement: float
    accuracy: float | None


@dataclass(frozen=True)
class ExportResult:
    """A written ONNX file with `bytes` bytes. `images` pictures were compared; `images_from` says which."""

    path: Path
    max_difference: float
    top1_agreement: float
    accuracy: float | None
    opset: int
    bytes: int
    images: int
    images_from: str

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {**asdict(self), "path": str(self.path)}


class Served(nn.Module):
    """A network with all that stands before and behind it: uint8 (N, H, W, C) to probabilities float32 (N, K)."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, temperature: float) -> None:
        super().__init__()
        self.input_step = InputStep(preprocessing)
        self.network = network
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Answer a batch."""
        logits = self.network(self.input_step(images)).float()
        return torch.softmax(logits if self.temperature == 1 else logits / self.temperature, dim=1)


def export(
    path: str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    data: str | Path | None = None,
    images: int = IMAGES,
    module: nn.Module | None = None,
    **settings: Any,
) -> ExportResult:
    """Write a run's selected weights, or a model file, as an ONNX file: uint8 (N, H, W, C) in, probabilities out.

    The file is written to `out`, or to RUN/model.onnx, or next to the model file, and only if its predictions for
    `images` pictures match the classifier's. These are the run's own test images, those of `data`, or random pictures
    if there are none. `force` replaces an existing file. `module`: an instance of your own class, if the file contains
    one. `settings`: data settings by name, e.g. `data_dir`.

    Needs ONNX and ONNX Runtime: the extra `export`. Raises UsageError without them, for a file that exists and for a
    network that cannot be exported, FileError if `path` is neither a run nor a model file, NumericError if the
    predictions differ; then nothing is written.
    """
    path = Path(path)
    named, changes = build_data_settings({**settings, "data": data})
    if images < 1:
        raise UsageError("--images", f"{images} found", "1 or more")
    if path.suffix.lower() == ONNX_SUFFIX and path.is_file():
        raise UsageError(str(path), "it is an ONNX file already", "a run folder or a model file")
    run = RunFolder.open(path) if path.is_dir() else None
    out = Path(out) if out is not None else run.onnx_path if run else path.with_suffix(ONNX_SUFFIX)
    if out.is_dir():
        raise UsageError("--out", f"{out} is a folder", "the path of a file")
    if out.exists() and not force:
        advice = "Add --force to replace it, or --out FILE to write another file."
        raise UsageError("--out", f"{out} already exists", advice=advice)
    classifier = load(path, module=module, device="cpu")
    pixels, labels, images_from = _pictures(path, run, classifier, named, changes, images)
    content = to_onnx(classifier)
    backend, _ = from_bytes(content, "the exported network")
    parity = compare(backend, classifier, pixels, labels)
    _require(parity, out, images_from, len(pixels))
    with sums.rewriting_file(out):
        atomic.write_bytes(out, content)
    return ExportResult(
        out,
        parity.max_difference,
        parity.top1_agreement,
        parity.accuracy,
        OPSET,
        len(content),
        len(pixels),
        images_from,
    )


def to_onnx(classifier: Classifier) -> bytes:
    """Give the bytes of a torch classifier's ONNX file, the same for the same weights and packages; unchecked answers.

    Raises UsageError where the network is not torch's, or torch cannot export it.
    """
    onnx = _packages()
    backend = classifier.backend
    if not isinstance(backend, TorchBackend):
        raise UsageError("model", "it holds no torch network", "a run folder or a model file of weights")
    served = Served(backend.module, classifier.preprocessing, classifier.temperature).eval()
    # A batch of one would be taken for the only batch there is.
    example = torch.zeros(max(BATCH_SIZES), *classifier.size, dtype=torch.uint8)
    with _quietly(), torch.no_grad():
        try:
            program = torch.onnx.export(
                served, (example,), input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},), dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter lets through whatever a module raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            found = f"torch cannot export {type(backend.module).__name__}: {reason}"
            raise UsageError("model", found, "a network of ONNX operators") from error
        assert program is not None
        model = program.model_proto
    _strip(model)
    own = classifier.model is None
    header = OnnxHeader(
        model=classifier.model,
        module=type(backend.module).__name__ if own else None,
        class_names=classifier.class_names,
        preprocessing=classifier.preprocessing,
        temperature=classifier.temperature,
        sightline_version=version(),
    )
    model.metadata_props.add(key=HEADER_KEY, value=header_text(header))
    content = model.SerializeToString(deterministic=True)
    model.metadata_props.add(key=SUM_KEY, value=sum_of(content))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def compare(
    backend: OnnxBackend,
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64] | None = None,
) -> Parity:
    """Compare answers for `pixels`, uint8 (N, H, W, C); `labels` int64 (N,). A NaN anywhere is an infinite difference.

    An answer counts as the same where the classifier itself is undecided, its two best classes being within MARGIN.
    """
    wanted = classifier.probabilities(pixels)  # N, K
    best = wanted.argmax(axis=1)
    ordered = np.sort(wanted, axis=1)
    undecided = ordered[:, -1] - ordered[:, -2] <= MARGIN
    same = np.ones(len(pixels), bool)
    largest = 0.0
    found = wanted
    for size in BATCH_SIZES:
        parts = [backend.probabilities(pixels[start : start + size]) for start in range(0, len(pixels), size)]
        found = np.concatenate(parts)
        difference = float(np.abs(found - wanted).max())
        largest = max(largest, difference if np.isfinite(difference) else float("inf"))
        same &= (found.argmax(axis=1) == best) | undecided
    accuracy = None if labels is None else float((found.argmax(axis=1) == labels).mean())
    return Parity(largest, float(same.mean()), accuracy)


def _require(parity: Parity, out: Path, images_from: str, count: int) -> None:
    if parity.max_difference <= MOST_DIFFERENCE and parity.top1_agreement == 1:
        return
    raise NumericError(
        str(out),
        f"nothing was written, since the exported network's probabilities differ by up to {parity.max_difference:.2g}, "
        f"and its answers are the same for {parity.top1_agreement:.2%} of {count:,} pictures ({images_from})",
        f"a difference of at most {MOST_DIFFERENCE:g}, and the same answers for all",
    )


def _pictures(
    path: Path,
    run: RunFolder | None,
    classifier: Classifier,
    settings: DataSettings | None,
    changes: Mapping[str, Any],
    count: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, str]:
    """What the answers are compared on: pixels, labels, and in words where they are from."""
    random = f"random pictures, since {path} knows no test images"
    if settings is not None or run is not None:
        try:
            found = images_to_test(path, run, classifier, settings, changes)
            # A folder's images are in the order of their classes.
            chosen = found.select(np.linspace(0, len(found) - 1, min(count, len(found))).astype(np.int64))
            return chosen.images(), chosen.labels, f"test images of {settings.name if settings else path}"
        except (DataError, UsageError) as error:
            if settings is not None:
                raise
            random = f"random pictures, since the run's test images are not at hand ({error.subject}: {error.found})"
    return random_pictures(count, classifier.size), None, random


def random_pictures(count: int, size: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Make `count` pictures, uint8 (count, *size), always the same: by turns noise and soft blots."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, *size), dtype=np.uint8)
    blots = generator.integers(0, 256, (len(pixels[1::2]), 5, 5, size[2]), dtype=np.uint8)
    pixels[1::2] = fit_images(blots, size, Resizing())
    return pixels


def _strip(model: ModelProto) -> None:
    """Take out what the exporter tells of its own way: source lines with paths, names of its passes, stack traces."""
    for message in (model, model.graph, *_parts(model)):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.graph.name = model.producer_name = "sightline"
    model.producer_version = version()


def _parts(model: ModelProto) -> Iterator[Any]:
    graph = model.graph
    for parts in (graph.node, graph.initializer, graph.input, graph.output):
        yield from parts


def _packages() -> Any:
    """Import what exporting needs, and give onnx. Raises UsageError where some of it is not installed."""
    with needs("export", "export", *PACKAGES, why="writes ONNX files"):
        onnx, *_ = [import_module(name) for name in PACKAGES]
    return onnx


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """The exporter warns of packages that are not there and of its own old ways, which nobody here can change."""
    loggers = [logging.getLogger(name) for name in CHATTER]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
