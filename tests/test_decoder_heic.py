"""HEIC: read as libheif reads it where the extra is installed, and told in one line where it is not."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.decoding import encoded, off, smooth
from helpers.folders import make, refused
from sightline.data import heif
from sightline.data.decoder import decode_raw, probe
from sightline.errors import ImageError
from sightline.installation import install_command

BOX = b"\x00\x00\x00\x18ftyp%s\x00\x00\x00\x00%s%s"


@pytest.fixture(scope="module")
def pillow_heif():
    return pytest.importorskip("pillow_heif", reason="the extra heic is not installed")


def heic(pillow_heif, pixels, **options):
    pillow_heif.register_heif_opener()
    return encoded(pixels, "HEIF", **options)


@pytest.mark.parametrize(
    ("brands", "found"),
    [
        ((b"heic", b"mif1", b"heic"), True),
        ((b"mif1", b"mif1", b"heic"), True),
        ((b"msf1", b"hevc", b"mif1"), True),
        ((b"avif", b"mif1", b"miaf"), False),
        ((b"mif1", b"avif", b"heic"), False),
        ((b"mif1", b"mif1", b"miaf"), False),
        ((b"isom", b"mp42", b"mp41"), False),
    ],
)
def test_brands(brands, found):
    assert heif.is_heic(BOX % brands) is found
    assert not heif.is_heic((BOX % brands)[:8])


def test_avif_is_not_taken_for_heic():
    assert not heif.is_heic(encoded(smooth(), "AVIF"))


def test_without_the_extra_one_line_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heif._registered.cache_clear()
    try:
        content = BOX % (b"heic", b"mif1", b"heic")
        with pytest.raises(
            ImageError, match=rf"^x\.heic: it is HEIC, which is read with {re.escape(install_command('heic'))}"
        ):
            decode_raw(content, name="x.heic")
        (make(tmp_path / "pets") / "train" / "cat" / "x.HEIC").write_bytes(content)
        refused(tmp_path / "pets", r"1 unreadable picture: train/cat/x\.HEIC \(it is HEIC, .*\[heic\]'\)")
    finally:
        heif._registered.cache_clear()


def test_it_is_imported_where_there_is_such_a_picture_only():
    code = "import sys, sightline.data.decoder; assert 'pillow_heif' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pixels_are_those_of_libheif(pillow_heif, mode):
    content = heic(pillow_heif, smooth(), mode=mode, quality=90)
    theirs = np.asarray(pillow_heif.open_heif(content, convert_hdr_to_8bit=True).to_pillow().convert("RGB"))
    ours = decode_raw(content)
    assert off(np.broadcast_to(ours, theirs.shape), theirs) <= 1
    assert off(theirs, np.asarray(Image.fromarray(smooth()).convert("L" if mode == "L" else "RGB").convert("RGB"))) < 40
    assert probe(content)[:2] == (56, 40)


def test_it_is_turned_once(pillow_heif):
    """A telephone's picture says how to turn it in a box of the format and in EXIF: only the first counts."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(smooth()).save(stream, "HEIF", quality=95, exif=exif)
    raw = pillow_heif.open_heif(stream.getvalue()).to_pillow()
    assert off(decode_raw(stream.getvalue()), np.asarray(raw)) <= 1


def test_damaged_ones_are_refused(pillow_heif):
    content = heic(pillow_heif, smooth(), quality=90)
    for keep in (20, 30, len(content) // 3, len(content) * 3 // 4):
        with pytest.raises(ImageError) as caught:
            decode_raw(content[:keep], name="cut.heic")
        assert str(caught.value).startswith("cut.heic: ") and "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="it has 56 x 40 pixels"):
        decode_raw(content, max_pixels=100)
