"""The one decoder: every picture, from training to the server, becomes uint8 here and nowhere else.

JPEG, PNG, WebP, BMP, GIF (first frame), TIFF, AVIF and, with an extra, HEIC. What is made of each kind of picture:

- EXIF orientation is applied; an orientation that only XMP names is not, as in browsers.
- Transparency, whether an alpha channel, a palette's or a PNG's colour key, is composited on white.
- 1-bit becomes 0 and 255; palettes, YCbCr and Lab become RGB; CMYK becomes RGB as Pillow does it (Adobe's inverted
  CMYK included), without a colour profile. Embedded colour profiles are not applied.
- 16-bit gray is scaled from its whole range (v / 257, rounded), not clipped; 12-bit TIFF from 0..4095. 32-bit integers
  are taken as 16-bit ones and refused beyond 0..65535; so are signed ones of 16 bits, and of 8 bits they are refused.
- 16-bit color keeps its upper 8 bits.
- Float TIFF must lie in [0, 1] and is scaled by 255; anything else is refused, since its white is unknown.
- TIFF may have a plane for each channel, but for gray with alpha, Lab and YCbCr.
- What would take far longer to decode than its pixels explain is refused first (`cost.py`).
- Colour becomes gray by ITU-R 601 luma; gray becomes colour by repetition.
- `fit`: squash ignores the aspect; crop takes the largest centred part of the target's aspect; pad scales the whole
  picture to fit and fills the rest with zero. Resizing is Pillow's bilinear or
  bicubic filter, which averages when it shrinks.
- With a `crop_fraction` below 1 pictures are first made larger by its inverse and the middle is cut out; crop then
  brings the shorter side to that size, as torchvision and timm do.

Free of torch, so that a server needs none.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# The plug-ins register themselves; without them Image.open would import every format that Pillow knows.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PillowImage
from PIL import __version__ as pillow_version
from PIL.ImageFile import ImageFile

from sightline.data import heif, orientation, png, tiff
from sightline.data.cost import refuse_costly
from sightline.data.preprocessing import Preprocessing
from sightline.data.quiet import QUIET
from sightline.errors import ImageError, ImageSizeError, ResourceError
from sightline.settings.data import RESIZING, Resizing

Pixels = NDArray[np.uint8]

DECODER_VERSION = f"3, pillow {pillow_version}"
"""Changes when the same picture could give other pixels."""
MAX_PIXELS = 100_000_000
MOST_SIDE = 1_000_000
"""Pixels of a side; Pillow keeps and decodes rows one by one, even where each has one pixel."""
FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        TiffImagePlugin.TiffImageFile,
        AvifImagePlugin.AvifImageFile,
    )
    if plugin.format
)
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".avif", *heif.SUFFIXES,
))  # fmt: skip
EXPECTED = "a complete JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC picture"

FILTERS = {"bilinear": PillowImage.Resampling.BILINEAR, "bicubic": PillowImage.Resampling.BICUBIC}
GRAY_MODES = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))


class OutOfMemoryError(ResourceError):
    """Too little memory to decode a picture, which says nothing about the picture."""


def decode(
    source: Path | bytes, preprocessing: Preprocessing, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Decode a picture to what the network's input step wants, uint8 (H, W, C) of the preprocessing's size.

    `source` is a file or an encoded picture's bytes, which `name` then stands for in messages. Raises ImageError, in
    one line, for anything that is not a whole picture of a known format with at most `max_pixels` pixels;
    OutOfMemoryError where it may be one, but memory does not hold it.
    """
    own = decode_raw(source, name=name, max_pixels=max_pixels)
    return fit_image(own, preprocessing.size, preprocessing.resizing)


def decode_raw(source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a picture in its own size, uint8 (h, w, 1 or 3). Errors as in `decode`."""
    subject = _subject(source, name)
    with _explained(subject):
        content = _read(source, subject)
        with open_picture(content, subject, max_pixels) as image:
            tiff.mend_planes(image, subject)
            png.mend_color_key(image, content)
            orientation.forget_xmp(image)
            image.load()
            pixels = _to_bytes(image, subject)
            upright = orientation.turn(pixels, orientation.orientation_of(image))
    return np.ascontiguousarray(upright)


def probe(source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> tuple[int, int, bool]:
    """Read width, height and whether it is gray from the picture's header alone. Errors as in `decode`."""
    subject = _subject(source, name)
    with _explained(subject), open_picture(_read(source, subject), subject, max_pixels) as image:
        return image.width, image.height, image.mode in GRAY_MODES


def fit_image(pixels: Pixels, size: tuple[int, int, int], resizing: Resizing) -> Pixels:
    """Bring one image, uint8 (h, w, 1 or 3), to `size`, (H, W, C)."""
    height, width, channels = size
    if channels == 1:
        pixels = to_gray(pixels)
    pixels = resize(pixels, height, width, resizing)
    return np.repeat(pixels, 3, axis=2) if channels > pixels.shape[2] else pixels


def fit_images(images: Pixels, size: tuple[int, int, int], resizing: Resizing) -> Pixels:
    """Bring images of one size, uint8 (N, h, w, 1 or 3), to (N, H, W, C); the same array if they have it."""
    if images.shape[1:] == size and resizing.crop_fraction == 1:
        return images
    fitted = np.empty((len(images), *size), np.uint8)
    for index, image in enumerate(images):
        fitted[index] = fit_image(image, size, resizing)
    return fitted


def to_gray(pixels: Pixels) -> Pixels:
    """Take the ITU-R 601 luma of a colour image, uint8 (h, w, 3) -> (h, w, 1); a gray image stays as it is."""
    if pixels.shape[2] == 1:
        return pixels
    return np.asarray(PillowImage.fromarray(pixels).convert("L"))[..., None]


def resize(pixels: Pixels, height: int, width: int, resizing: Resizing = RESIZING) -> Pixels:
    """Bring one image, uint8 (h, w, C), to (height, width, C) with Pillow's filters."""
    fit, interpolation, crop_fraction = resizing
    if crop_fraction < 1:
        return _middle(pixels, height, width, resizing)
    h, w, channels = pixels.shape
    if (h, w) == (height, width):
        return pixels
    if fit == "crop":
        crop_h, crop_w = _largest_inside((h, w), (height, width))
        top, left = (h - crop_h) // 2, (w - crop_w) // 2
        pixels = pixels[top : top + crop_h, left : left + crop_w]
    inner_h, inner_w = _largest_inside((height, width), (h, w)) if fit == "pad" else (height, width)
    image = PillowImage.fromarray(np.ascontiguousarray(pixels if channels == 3 else pixels[..., 0]))
    scaled = np.asarray(image.resize((inner_w, inner_h), FILTERS[interpolation]))
    scaled = scaled.reshape(inner_h, inner_w, channels)
    if (inner_h, inner_w) == (height, width):
        return scaled
    padded = np.zeros((height, width, channels), np.uint8)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    padded[top : top + inner_h, left : left + inner_w] = scaled
    return padded


def _middle(pixels: Pixels, height: int, width: int, resizing: Resizing) -> Pixels:
    """Bring an image to a size that is larger by 1 / crop_fraction, and cut the middle out."""
    fit, interpolation, fraction = resizing
    tall, wide = int(height / fraction), int(width / fraction)
    if fit == "crop":  # the picture keeps its own aspect, and what is too long is cut with the rest
        h, w = pixels.shape[:2]
        if h * wide <= w * tall:
            wide = max(wide, int(tall * w / h))
        else:
            tall = max(tall, int(wide * h / w))
        fit = "squash"
    larger = resize(pixels, tall, wide, Resizing(fit, interpolation))
    top, left = round((tall - height) / 2), round((wide - width) / 2)
    return larger[top : top + height, left : left + width]


def _largest_inside(outer: tuple[int, int], aspect: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the largest box of the given aspect, itself (H, W), inside `outer`; each side at least 1."""
    height, width = outer
    if height * aspect[1] <= width * aspect[0]:
        return height, max(1, min(width, round(height * aspect[1] / aspect[0])))
    return max(1, min(height, round(width * aspect[0] / aspect[1]))), width


def _subject(source: Path | bytes, name: str | None) -> str:
    return name or (str(source) if isinstance(source, Path) else "image")


def _reason(error: Exception) -> str:
    """Pillow's own words, without the address of the stream that it likes to name."""
    text = str(error).split("<_io.")[0].strip()
    return (text or type(error).__name__)[:120]


@contextlib.contextmanager
def _explained(subject: str) -> Generator[None]:
    """Turn all that decoding may raise into one line about the picture, or about the memory."""
    with QUIET:
        try:
            yield
        except ImageError:
            raise
        except MemoryError:
            found, advice = (
                "there is not enough memory to decode it",
                "Close other programs, or make the picture smaller.",
            )
            raise OutOfMemoryError(subject, found, advice=advice) from None
        except Exception as error:  # Pillow raises nearly anything on a damaged file
            raise ImageError(subject, f"it cannot be decoded: {_reason(error)}", EXPECTED) from None


def _read(source: Path | bytes, subject: str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        # A pipe or a device would be read for ever.
        if source.is_file():
            return source.read_bytes()
        found = "it is not a file" if source.exists() else "no such file"
    except OSError as error:
        raise ImageError(subject, f"it cannot be read ({error.strerror})") from None
    raise ImageError(subject, found, EXPECTED)


def open_picture(content: bytes, subject: str, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Open an encoded picture with Pillow, once it is clear what decoding it will cost. Errors as in `decode`."""
    if not content:
        raise ImageError(subject, "it is empty", EXPECTED)
    refuse_costly(content, subject)
    content = tiff.without_needless_planes(png.without_text(content))
    try:
        image = PillowImage.open(io.BytesIO(content), formats=_formats_of(content, subject))
    except PillowImage.UnidentifiedImageError:
        found = "it is no picture of a known format, or its start is damaged"
        raise ImageError(subject, found, EXPECTED) from None
    except PillowImage.DecompressionBombError:
        raise ImageSizeError(subject, "it has too many pixels to be decoded", EXPECTED) from None
    if max(image.width, image.height) > MOST_SIDE:
        found = f"it has {image.width} x {image.height} pixels"
        raise ImageSizeError(subject, found, f"at most {MOST_SIDE:,} on a side")
    if image.width * image.height > max_pixels:
        limit = f"at most {max_pixels:,}"
        raise ImageSizeError(subject, f"it has {image.width} x {image.height} pixels", limit, "Make it smaller first.")
    if image.width == 0 or image.height == 0:
        raise ImageError(subject, f"it has {image.width} x {image.height} pixels", EXPECTED)
    return image


def _formats_of(content: bytes, subject: str) -> tuple[str, ...]:
    """Name the formats that a picture may have, as Pillow calls them. Raises ImageError for HEIC without its extra."""
    return (heif.heif_format(subject),) if heif.is_heic(content) else FORMATS


def _to_bytes(image: PillowImage.Image, subject: str) -> Pixels:
    """uint8 (h, w, 1 or 3) of a loaded image, not yet turned."""
    mode = image.mode
    if mode == "F":
        return _from_float(image, subject)
    if mode == "I" or mode.startswith("I;"):
        return _from_integers(image, subject)
    gray = mode in GRAY_MODES
    flat = "L" if gray else "RGB"
    if image.has_transparency_data:
        with_alpha = image.convert("LA" if gray else "RGBA")
        background = PillowImage.new(flat, image.size, 255 if gray else (255, 255, 255))
        background.paste(with_alpha.convert(flat), mask=with_alpha.getchannel("A"))
        image = background
    pixels = np.asarray(image if image.mode == flat else image.convert(flat))
    return pixels[..., None] if gray else pixels


def _from_integers(image: PillowImage.Image, subject: str) -> Pixels:
    """Gray of more than 8 bits."""
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            subject, f"its values go from {low} to {high}", "values from 0 to 65535, which is what 16 bits hold"
        )
    white, inverted = tiff.white_of(image)
    if inverted:
        values = white - values
    scaled = ((values * 255 + white // 2) // white).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 255
    return scaled[..., None]


def _from_float(image: PillowImage.Image, subject: str) -> Pixels:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        found = f"its float values go from {low:g} to {high:g}"
        raise ImageError(subject, found, "values from 0 to 1", "Save it with 8 or 16 bits.")
    _, inverted = tiff.white_of(image)
    return np.rint((1 - values if inverted else values) * np.float32(255)).astype(np.uint8)[..., None]
