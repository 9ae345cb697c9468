"""Pictures for tests of the decoder, and another library's reading of them."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image


def smooth(height=40, width=56, channels=3, seed=0):
    """A picture without hard edges, so that JPEG keeps it close."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return large.reshape(height, width, channels)


def encoded(pixels, kind, mode=None, **options):
    """Bytes of a picture, written by Pillow."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def by_opencv(content, flags=cv2.IMREAD_COLOR):
    """OpenCV's reading of the same bytes, as RGB or gray (h, w, C)."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return pixels[..., None] if pixels.ndim == 2 else pixels[..., ::-1]


def off(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())
