"""What libraries print about damaged pictures stays off stderr, and is put back for whoever decodes without us."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from sightline.data.decoder import decode_raw
from sightline.data.quiet import QUIET
from sightline.errors import ImageError


def damaged(compression: str) -> bytes:
    draw = np.random.default_rng(0)
    stream = io.BytesIO()
    picture = Image.fromarray(draw.integers(0, 255, (600, 800, 3), np.uint8))
    picture.convert("1" if compression.startswith("group") else "RGB").save(stream, "TIFF", compression=compression)
    content = bytearray(stream.getvalue())
    for place in range(400, len(content) - 400, 97):
        content[place] = int(draw.integers(256))
    return bytes(content)


def decode_by_pillow(content: bytes) -> None:
    with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
        warnings.simplefilter("ignore")
        with contextlib.suppress(OSError):
            image.load()


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate"])
def test_libtiff_prints_nothing_while_we_decode(compression, capfd):
    content = damaged(compression)
    decode_by_pillow(content)
    if not capfd.readouterr().err:
        pytest.skip("this Pillow keeps libtiff quiet itself")
    for _ in range(3):
        with contextlib.suppress(ImageError):
            decode_raw(content)
    assert capfd.readouterr().err == ""
    decode_by_pillow(content)
    assert capfd.readouterr().err != ""


def test_it_stays_quiet_until_the_last_thread_is_out(capfd):
    content = damaged("group4")
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with QUIET:
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(20)
    with contextlib.suppress(ImageError):
        decode_raw(content)
    decode_by_pillow(content)
    leave.set()
    thread.join()
    assert capfd.readouterr().err == ""
