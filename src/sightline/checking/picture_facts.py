"""What a picture file is, for `sightline check`: read, decoded and measured once, in threads."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from sightline.data import gif, heif, tiff
from sightline.data.decoder import GRAY_MODES, OutOfMemoryError, decode_raw, open_picture
from sightline.data.duplicates import pixel_digest, thumbnail
from sightline.data.parallel import map_in_order
from sightline.errors import ImageError

SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    heif.FORMAT: heif.SUFFIXES,
}
# A picture for 3D displays or with a gain map: a JPEG to everybody who looks at its first picture.
SAME_FORMAT = {"MPO": "JPEG", "DIB": "BMP"}
PNG_DEPTH_BYTE = 24
PNG_END, JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"
GIF_END_WITHIN = 64


@dataclass(frozen=True)
class PictureFacts:
    """A readable picture. `kinds`: which of gray, alpha, CMYK, 16-bit, palette and 1-bit it is.

    `frames`: pictures in the file, of which only the first is used. `cut_short`: the file's end is missing though every
    pixel could be read. `digest` is over the decoded pixels; `thumbnail` uint8 (32, 32).
    """

    width: int
    height: int
    format: str
    kinds: tuple[str, ...]
    frames: int
    cut_short: bool
    digest: bytes
    thumbnail: NDArray[np.uint8]

    def suits(self, suffix: str) -> bool:
        """Tell whether a suffix, with its dot, says what the file is."""
        return suffix.lower() in SUFFIXES_OF.get(self.format, ())


def picture_facts(path: Path) -> PictureFacts:
    """Read, decode and measure one file. Raises ImageError where the decoder refuses it."""
    try:
        # The decoder says what is wrong with anything but a file, and nothing waits for a pipe.
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ImageError(str(path), f"it cannot be read ({error.strerror})") from None
    pixels = decode_raw(path if content is None else content, name=str(path))
    assert content is not None
    with open_picture(content, str(path)) as image:
        form = SAME_FORMAT.get(image.format or "", image.format or "")
        kinds, frames = _kinds(image, content, pixels), _frames(image, content)
    return PictureFacts(
        pixels.shape[1], pixels.shape[0], form, kinds, frames, _is_cut_short(content, form),
        pixel_digest(pixels), thumbnail(pixels),
    )  # fmt: skip


def all_picture_facts(paths: Sequence[Path]) -> Generator[PictureFacts | str]:
    """Look at every file, in order; where one cannot be read, the reason stands in its place.

    Stops at none of them, unless memory runs out, which is no fault of the file: OutOfMemoryError.
    """
    # Pillow's warnings tell of odd metadata; `warnings` keeps one list for all threads, so it is set from here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.closing(map_in_order(_facts_or_reason, paths)) as answers:
            yield from answers


def _facts_or_reason(path: Path) -> PictureFacts | str:
    try:
        return picture_facts(path)
    except ImageError as error:
        # What was expected is always a whole picture; what was found is what differs.
        return error.found
    except (MemoryError, OutOfMemoryError):
        raise
    except Exception as error:
        return f"it cannot be measured ({type(error).__name__}: {error})"[:160]


def _kinds(image: PillowImage.Image, content: bytes, pixels: NDArray[np.uint8]) -> tuple[str, ...]:
    mode = image.mode
    channels_equal = pixels.shape[2] == 1 or bool((pixels == pixels[..., :1]).all())
    tests = {
        "gray": mode in GRAY_MODES or channels_equal,
        "alpha": image.has_transparency_data,
        "CMYK": mode == "CMYK",
        "16-bit": mode[0] in "IF" or _is_deep(image, content),
        "palette": mode in ("P", "PA"),
        "1-bit": mode == "1",
    }
    return tuple(name for name, holds in tests.items() if holds)


def _is_deep(image: PillowImage.Image, content: bytes) -> bool:
    """Whether a file has more than 8 bits a channel where Pillow's mode no longer tells."""
    if image.format == "PNG":
        return content[PNG_DEPTH_BYTE : PNG_DEPTH_BYTE + 1] == b"\x10"
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(tiff.BITS) or (8,)) > 8
    return False


def _frames(image: PillowImage.Image, content: bytes) -> int:
    if image.format == "GIF":  # Pillow would read every picture of it and of a TIFF
        return gif.count_pictures(content)
    if image.format == "TIFF":
        return tiff.count_pictures(content)
    return int(getattr(image, "n_frames", 1))


def _is_cut_short(content: bytes, form: str) -> bool:
    """Whether the mark at a file's end is missing. Bytes behind the mark are common and harmless."""
    if form == "PNG":
        return PNG_END not in content
    if form == "JPEG":
        return JPEG_END not in content
    if form == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return form == "GIF" and b";" not in content[-GIF_END_WITHIN:]
