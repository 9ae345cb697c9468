"""What the decoder refuses: damaged pictures, other formats, too many pixels, and want of memory."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from helpers.decoding import encoded, smooth
from sightline.data.decoder import decode_raw
from sightline.errors import ImageError, ResourceError


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_truncated_files_are_refused_in_one_line_with_their_name(kind, tmp_path):
    content = encoded(smooth(), kind)
    for keep in (0, 3, len(content) // 3, len(content) * 3 // 4):
        path = tmp_path / "cut.img"
        path.write_bytes(content[:keep])
        with pytest.raises(ImageError) as caught:
            decode_raw(path)
        assert "cut.img" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "object at" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PPM", "ICO", "PCX", "TGA", "JPEG2000"])
def test_other_formats_are_refused(kind):
    content = encoded(smooth(), kind)
    with pytest.raises(ImageError, match="no picture"):
        decode_raw(content)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        decode_raw(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="not a file"):
        decode_raw(tmp_path)


def test_a_file_that_the_system_keeps_closed_is_refused_in_its_words(tmp_path, monkeypatch):
    def closed(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(ImageError, match=r"shut\.png: it cannot be read \(Permission denied\)"):
        decode_raw(tmp_path / "shut.png")


def test_want_of_memory_is_not_blamed_on_the_picture(monkeypatch):
    content = encoded(smooth(), "PNG")

    def want(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(PngImageFile, "load", want)
        with pytest.raises(ResourceError, match=r"good\.png: there is not enough memory") as caught:
            decode_raw(content, name="good.png")
        assert not isinstance(caught.value, ImageError) and caught.value.exit_code == 6
    assert decode_raw(content, name="good.png").shape == (40, 56, 3)


def test_too_many_pixels_are_refused_before_decoding():
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    with pytest.raises(ImageError, match="pixels"):
        decode_raw(stream.getvalue())
    small = encoded(smooth(), "PNG")
    with pytest.raises(ImageError, match="56 x 40 pixels"):
        decode_raw(small, max_pixels=56 * 40 - 1)
    assert decode_raw(small, max_pixels=56 * 40).shape == (40, 56, 3)


def test_warnings_of_pillow_stay_inside_and_the_filters_come_back(monkeypatch):
    content = encoded(smooth(), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 56 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(content))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        shapes = set(pool.map(lambda _: decode_raw(content).shape, range(200)))
    assert shapes == {(40, 56, 3)}
    assert warnings.filters == before
