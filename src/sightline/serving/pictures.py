"""Encoded pictures to the network's pixels, and pixels back to a picture that a browser shows."""

from __future__ import annotations

import base64
import io

from PIL import Image

from sightline.data.decoder import Pixels, decode
from sightline.data.heif import HeicError
from sightline.data.preprocessing import Preprocessing
from sightline.errors import ImageError, ImageSizeError
from sightline.serving.body import Picture
from sightline.serving.problems import Problem


def prepare(picture: Picture, preprocessing: Preprocessing, max_pixels: int) -> Pixels:
    """Decode a picture to uint8 (H, W, C) as the network takes it.

    Raises Problem 413 for one of more than `max_pixels`, told by its header alone, and 422 for what is no picture.
    """
    try:
        return decode(picture.content, preprocessing, name=picture.name, max_pixels=max_pixels)
    except ImageSizeError as error:
        raise Problem(413, str(error)) from None
    except HeicError as error:  # whose advice is for this machine
        raise Problem(422, f"{error.subject}: it is HEIC, which this server cannot read. Send it as JPEG.") from None
    except ImageError as error:
        raise Problem(422, str(error)) from None


def data_url(pixels: Pixels) -> str:
    """Encode uint8 (H, W, C) as a PNG in a data URL."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
