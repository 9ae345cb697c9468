"""Which way up a picture is: EXIF's orientation, and nothing else.

XMP can name one too. It is left alone, as browsers and OpenCV do: programs that turn the pixels often leave the old XMP
behind, and a picture should look to the network as it does to the person who labels it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

EXIF_ORIENTATION = 0x0112
TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""For each EXIF orientation: exchange rows and columns, then reverse rows, reverse columns."""


def forget_xmp(image: PillowImage.Image) -> None:
    """Keep Pillow from turning a TIFF as its XMP says."""
    image.info.pop("xmp", None)


def orientation_of(image: PillowImage.Image) -> int:
    """1 to 8; 1 too where the EXIF block is damaged, since the picture itself is whole, and for TIFF once loaded."""
    if isinstance(image, TiffImageFile):  # Pillow has turned it
        return 1
    try:
        exif = image.getexif()
        if "xmp" in image.info:  # then what Pillow gives may come from there
            exif = PillowImage.Exif()
            exif.load(image.info.get("exif", b""))
        return int(exif.get(EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a picture (h, w, C) upright."""
    exchange, flip_rows, flip_columns = TURNS.get(orientation, (False, False, False))
    if exchange:
        pixels = pixels.transpose(1, 0, 2)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
