"""EXIF turns a picture, XMP does not, as in OpenCV; whatever else the file says of it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from helpers import bombs
from helpers.decoding import by_opencv, encoded, off, smooth
from sightline.data.decoder import decode_raw

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def with_xmp(kind, **options):
    if kind == "TIFF":
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        tags = ImageFileDirectory_v2()
        tags[700] = XMP
        return encoded(smooth(), kind, tiffinfo=tags, **options)
    if kind == "PNG":
        content = encoded(smooth(), kind, **options)
        place = content.index(b"IDAT") - 4
        return content[:place] + bombs.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + content[place:]
    return encoded(smooth(), kind, xmp=XMP, **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"})],
)  # fmt: skip
def test_an_orientation_of_xmp_turns_nothing(kind, options):
    content, plain = with_xmp(kind, **options), encoded(smooth(), kind, **options)
    assert b"tiff:Orientation" in content
    assert np.array_equal(decode_raw(content), decode_raw(plain))
    if kind == "JPEG":
        assert off(decode_raw(content), by_opencv(content)) <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_counts_whatever_xmp_says(kind):
    for orientation in (1, 3, 8):
        content = with_xmp(kind, exif=exif(orientation))
        plain = encoded(smooth(), kind, exif=exif(orientation))
        assert np.array_equal(decode_raw(content), decode_raw(plain))
        assert decode_raw(content).shape == ((56, 40, 3) if orientation == 8 else (40, 56, 3))


def test_exif_in_an_old_text_of_a_png_counts_too():
    block = exif(6).tobytes()
    text = b"\nexif\n" + str(len(block)).rjust(8).encode() + b"\n" + block.hex().encode() + b"\n"
    chunk = bombs.chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert np.array_equal(decode_raw(bombs.with_chunks(chunk)), decode_raw(encoded(smooth(), "PNG", exif=exif(6))))
