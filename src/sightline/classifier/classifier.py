"""The Classifier: weights, preprocessing and class names in one. What is tested, predicts, is exported and served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.data.decoder import decode, fit_image
from sightline.data.preprocessing import Preprocessing
from sightline.errors import ImageError, UsageError, with_reasons

if TYPE_CHECKING:
    from sightline.settings import ModelSettings

ImageSource = str | Path | bytes | NDArray[np.uint8]
PIXELS_A_BATCH = 2**20


class Backend(Protocol):
    """What computes: pixels in, probabilities out."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) to float32 (N, K)."""
        ...


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture. `probabilities` has every class in the model's order; `source` is the picture."""

    source: str
    label: str
    probability: float
    probabilities: dict[str, float]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes, the first of equals first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]

    def to_dict(self) -> dict[str, Any]:
        """path, label, probability, probabilities."""
        return {
            "path": self.source,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Classifier:
    """A trained network with its preprocessing and class names.

    `temperature` is the divisor of the logits: 1 unless the model file was calibrated.
    """

    backend: Backend
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    model: ModelSettings | None = None
    temperature: float = 1.0

    @property
    def size(self) -> tuple[int, int, int]:
        """(H, W, C) of the network's input images."""
        return self.preprocessing.height, self.preprocessing.width, self.preprocessing.channels

    @property
    def batch_size(self) -> int:
        """Default number of images per batch: about a million pixels."""
        return max(8, min(1000, PIXELS_A_BATCH // (self.preprocessing.height * self.preprocessing.width)))

    def probabilities(self, pixels: NDArray[np.uint8], batch_size: int | None = None) -> NDArray[np.float32]:
        """Probabilities float32 (N, K) of decoded images, uint8 (N, H, W, C) of the model's size.

        Computed in float32; the batch size changes them by less than 1e-6. Raises UsageError for other shapes.
        """
        wanted = self.size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != wanted:
            raise UsageError(
                "images", f"{pixels.dtype} {pixels.shape} found", f"uint8 (N, {', '.join(map(str, wanted))})"
            )
        size = batch_size or self.batch_size
        parts = [self.backend.probabilities(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.class_names)), np.float32)

    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        batch_size: int | None = None,
        skip_bad: bool = False,
        on_bad: Callable[[ImageError], object] | None = None,
    ) -> list[Prediction]:
        """Answer for pictures: paths, encoded bytes, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3), any size.

        `skip_bad` leaves unreadable pictures out, and tells `on_bad` why; without it they raise ImageError, which gives
        the reasons. Raises UsageError for a `batch_size` below 1.
        """
        if batch_size is not None and batch_size < 1:
            raise UsageError("--batch-size", f"{batch_size} found", "1 or more")
        if isinstance(images, (str, Path, bytes, np.ndarray)):
            images = [images]
        size = batch_size or self.batch_size
        answers: list[Prediction] = []
        bad: list[ImageError] = []
        names: list[str] = []
        pixels: list[NDArray[np.uint8]] = []

        def answer_batch() -> None:
            if pixels:
                answers.extend(self._answers(names, self.probabilities(np.stack(pixels), size)))
            names.clear()
            pixels.clear()

        for number, source in enumerate(images):
            try:
                pixels.append(self._pixels(source))
            except ImageError as error:
                bad.append(error)
                if on_bad is not None:
                    on_bad(error)
                continue
            names.append(str(source) if isinstance(source, (str, Path)) else f"image {number}")
            if len(pixels) == size:
                answer_batch()
        answer_batch()
        if bad and not skip_bad:
            if len(bad) == 1:
                raise bad[0]
            found = f"they cannot be read: {with_reasons([(error.subject, error.found) for error in bad])}"
            raise ImageError(f"{len(bad)} pictures", found, advice="Use --skip-bad to leave them out.")
        return answers

    def _pixels(self, source: ImageSource) -> NDArray[np.uint8]:
        if isinstance(source, np.ndarray):
            array = source[:, :, None] if source.ndim == 2 else source
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
                raise UsageError(
                    "image", f"{source.dtype} {source.shape} found", "uint8 (H, W), (H, W, 1) or (H, W, 3)"
                )
            return fit_image(array, self.size, self.preprocessing.resizing)
        return decode(Path(source) if isinstance(source, str) else source, self.preprocessing)

    def _answers(self, names: Sequence[str], probabilities: NDArray[np.float32]) -> list[Prediction]:
        found: list[Prediction] = []
        for name, row in zip(names, probabilities, strict=True):
            best = int(row.argmax())
            every = dict(zip(self.class_names, map(float, row), strict=True))
            found.append(Prediction(name, self.class_names[best], float(row[best]), every))
        return found
