"""Pictures whose decoding would take far longer than their pixels explain are refused at once, and others are not."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

import sightline as sl
from helpers import bombs
from helpers.decoding import encoded, off, smooth
from helpers.folders import paint
from sightline.checking.picture_facts import picture_facts
from sightline.cli.app import run
from sightline.data import gif, jpeg, png, tiff
from sightline.data.decoder import decode_raw, probe
from sightline.errors import ImageError

QUICK = 4.0
"""Seconds, on a machine that does other work too; undetected, such files take half a minute."""


def refused(content, said):
    for read in (decode_raw, probe):
        start = time.perf_counter()
        with pytest.raises(ImageError, match=said) as caught:
            read(content, name="odd.img")
        assert time.perf_counter() - start < QUICK
        assert str(caught.value).startswith("odd.img: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("scans", [50, 1500, 75_000])
def test_a_jpeg_of_more_scans_than_any_program_writes_is_refused(scans):
    refused(bombs.scan_bomb(scans), "more scans")


def test_of_a_jpeg_with_everything_in_one_scan_no_other_is_read():
    plain = encoded(smooth(64, 64), "JPEG")
    begun = time.perf_counter()
    with pytest.raises(ImageError, match="broken data stream"):  # libjpeg wants the end behind it
        decode_raw(bombs.scan_bomb(5000, 64, progressive=False))
    assert time.perf_counter() - begun < QUICK
    apart = plain.replace(b"\xff\xda\x00\x0c\x03", b"\xff\xda\x00\x0c\x02", 1)  # now it is said to have two of three
    assert apart != plain
    refused(apart[:-2] + plain[plain.index(bombs.SCAN) : -2] * 1500 + plain[-2:], "more scans")


@pytest.mark.parametrize(
    ("filler", "said"),
    [(b"\xff\xfe\x00\x02", "more scans"), (b"\xff\xdd\x00\x04\x00\x00", "more scans"), (b"\xff" * 9, "more scans")],
)
def test_segments_between_scans_hide_none(filler, said):
    content = bombs.scan_bomb(3000)
    refused(content.replace(bombs.SCAN, filler + bombs.SCAN), said)


def test_scans_are_counted_as_far_as_the_picture_goes():
    plain = encoded(smooth(), "JPEG", progressive=True)
    behind = plain + bombs.SCAN * 5000  # behind the end, as of a second picture
    inside = plain[:2] + b"\xff\xe5" + struct.pack(">H", 60_002) + bombs.SCAN * 30_000 + plain[2:]  # as of a thumbnail
    for content in (behind, inside):
        assert np.array_equal(decode_raw(content), decode_raw(plain))


def test_a_small_picture_may_have_more_scans_than_a_large_one():
    plain = encoded(smooth(64, 64), "JPEG", progressive=True)
    more = bombs.scan_bomb(100, 64)
    assert decode_raw(more).shape == decode_raw(plain).shape
    assert jpeg.scans_allowed(64 * 64) == jpeg.MOST_SCANS
    assert jpeg.scans_allowed(25_000_000) == 40 and jpeg.scans_allowed(100_000_000) == jpeg.FEWEST_SCANS
    refused(bombs.scan_bomb(jpeg.MOST_SCANS, 64), "more scans")


def test_arithmetic_coding_may_have_as_many_scans_as_programs_write():
    plain, more = (bombs.scan_bomb(count, 64).replace(b"\xff\xc2", b"\xff\xca", 1) for count in (1, 5))
    assert plain.count(bombs.SCAN) == 11 and more.count(bombs.SCAN) == 15
    assert decode_raw(plain).shape == (64, 64, 3)
    refused(more, "more scans")


def test_a_side_is_limited_as_well_as_the_pixels():
    stream = io.BytesIO()
    Image.new("1", (1, 1_000_001)).save(stream, "PNG")
    refused(stream.getvalue(), "1 x 1000001 pixels")


def test_segments_of_a_jpeg_are_limited_far_beyond_those_of_a_camera():
    plain = decode_raw(bombs.with_segments(0))
    assert np.array_equal(decode_raw(bombs.with_segments(1000, body=bytes(100))), plain)
    assert np.array_equal(decode_raw(bombs.with_segments(60, 0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6))), plain)
    refused(bombs.with_segments(jpeg.MOST_SEGMENTS + 1), "more segments")
    refused(bombs.with_segments(500_000), "more segments")
    refused(bombs.with_segments(jpeg.MOST_EXIF_SEGMENTS + 1, 0xE1, jpeg.EXIF + bytes(400)), "EXIF has more segments")


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\xff\xd0"])
def test_what_stands_between_the_segments_of_a_jpeg_is_limited(filler):
    plain = encoded(smooth(), "JPEG")
    some, many = (plain[:20] + filler * (count // len(filler)) + plain[20:] for count in (10_000, 3 * jpeg.MOST_JUNK))
    assert plain[20:22] == b"\xff\xdb"
    assert np.array_equal(decode_raw(some), decode_raw(plain))
    refused(many, "belong to no segment")


def test_the_chunks_of_a_png_are_limited_and_many_small_ones_of_pixels_are_not():
    plain = decode_raw(bombs.with_chunks())
    assert np.array_equal(decode_raw(bombs.with_chunks(*[bombs.chunk(b"prVt", b"x")] * 5000)), plain)
    refused(bombs.with_chunks(bombs.chunk(b"prVt", b"") * (png.MOST_CHUNKS // 2 + 200)), "more chunks")
    refused(bombs.with_chunks(bombs.chunk(b"tEXt", b"a\0b") * 100_000), "more chunks")


@pytest.mark.parametrize("size", [2 << 20, 35 << 20])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_the_texts_of_a_png_are_left_out_whatever_their_size(kind, size):
    text = bytes(size) if kind == "iCCP" else b"a" * size
    bodies = {"tEXt": b"k\0" + text, "iTXt": b"k\0\1\0\0\0" + zlib.compress(text)}
    content = bombs.with_chunks(bombs.chunk(kind.encode(), bodies.get(kind, b"k\0\0" + zlib.compress(text))))
    assert np.array_equal(decode_raw(content), decode_raw(bombs.with_chunks()))
    assert probe(content) == (56, 40, False)


def test_blocks_before_the_picture_of_a_gif_are_limited(tmp_path):
    plain = encoded(smooth(), "GIF")
    place = 13 + (3 << (plain[10] & 7) + 1)
    some, many = (plain[:place] + b"!\xfe" + b"\x01x" * count + b"\0" + plain[place:] for count in (5000, 500_000))
    assert np.array_equal(decode_raw(some), decode_raw(plain))
    refused(many, "blocks before its picture")
    refused(plain[:place] + bytes(gif.MOST_BLOCKS + 9) + plain[place:], "blocks before its picture")


def test_pictures_are_counted_without_reading_them(tmp_path):
    pictures = [Image.fromarray(smooth(seed=seed)) for seed in range(5)]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        for count in (1, 2, 5):
            path = tmp_path / f"{kind}{count}"
            pictures[0].save(path, kind, save_all=True, append_images=pictures[1:count])
            assert picture_facts(path).frames == count, (kind, count)
    plain = encoded(smooth(), "GIF")
    start = plain.index(b",", 13 + (3 << (plain[10] & 7) + 1))
    (tmp_path / "many.gif").write_bytes(plain[:-1] + plain[start : start + 10] * 1 + b"\x02\0" * 2_000_000)
    begun = time.perf_counter()
    assert picture_facts(tmp_path / "many.gif").frames >= 2
    assert time.perf_counter() - begun < 2 * QUICK


def test_the_directories_of_a_tiff_may_go_round_in_a_circle(tmp_path):
    content = bytearray(encoded(smooth(), "TIFF"))
    directory = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[directory : directory + 2], "little")
    content[directory + 2 + 12 * count : directory + 6 + 12 * count] = directory.to_bytes(4, "little")
    path = tmp_path / "circle.tif"
    path.write_bytes(content)
    assert picture_facts(path).frames == 1
    assert np.array_equal(decode_raw(path), smooth())


SHORT, LONG = 3, 4
PICTURE = [(256, LONG, 1, 100), (257, LONG, 1, 100), (258, SHORT, 1, 8), (259, SHORT, 1, 1), (262, SHORT, 1, 1)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([(1000 + n, LONG, 1, 0) for n in range(tiff.MOST_ENTRIES)], "entries"),
        ([(1000 + n, 1, 100_000, 8) for n in range(100)], "names 10,000,000 bytes"),
        ([(273, LONG, 25_000, 8)], "strips or tiles"),
        ([(322, LONG, 1, 60_000), (323, LONG, 1, 60_000), (324, LONG, 1, 8)], "3,600,000,000 pixels"),
    ],
)
def test_a_tiff_of_more_parts_than_any_program_writes_is_refused(order, entries, said, monkeypatch):
    monkeypatch.setattr(tiff, "MOST_PIECES", 20_000)
    shifted = [
        (tag, kind, count, value << 16 if order == ">" and kind == SHORT else value)
        for tag, kind, count, value in sorted(PICTURE + entries)
    ]
    refused(bombs.tiff(shifted, order, bytes(110_000 if "strips" in said else 100)), said)


def test_a_jpeg_inside_a_tiff_may_not_have_more_scans_either():
    bomb = bombs.scan_bomb(1500)
    entries = [
        (256, LONG, 1, 5000), (257, LONG, 1, 5000), (258, SHORT, 1, 8), (259, SHORT, 1, 7), (262, SHORT, 1, 6),
        (273, LONG, 1, 8), (277, SHORT, 1, 3), (278, LONG, 1, 5000), (279, LONG, 1, len(bomb)),
    ]  # fmt: skip
    refused(bombs.tiff(entries, data=bomb), "more scans")
    assert decode_raw(encoded(smooth(), "TIFF", compression="jpeg")).shape == (40, 56, 3)


def test_an_avif_may_not_have_a_frame_many_times():
    assert decode_raw(bombs.avif_bomb(0)).shape == (1000, 1000, 3)
    assert np.array_equal(decode_raw(bombs.avif_bomb(5)), decode_raw(bombs.avif_bomb(0)))
    for frames in (30, 3000):
        refused(bombs.avif_bomb(frames), "more frames in one picture")
    pictures = [Image.fromarray(smooth(seed=seed)) for seed in range(40)]
    stream = io.BytesIO()
    pictures[0].save(stream, "AVIF", save_all=True, append_images=pictures[1:], quality=90)
    assert off(decode_raw(stream.getvalue()), smooth()) < 40  # an animation has one frame a sample


def test_a_bmp_in_run_length_coding_is_read_up_to_its_limit():
    small = decode_raw(bombs.run_length_bmp(30, 20))
    assert small.shape[:2] == (20, 30) and (small[:, 0] == 7).all() and (small[:, 1:] == 0).all()
    refused(bombs.run_length_bmp(25_000, 1000), "run-length")
    refused(bombs.run_length_bmp(10, 10) + bytes(9_000_000), "run-length")


def test_a_bomb_among_pictures_is_named_by_every_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    for label, level in (("cat", 40), ("dog", 200)):
        for index in range(6):
            paint(root / label / f"{index}.png", level + index)
    (root / "cat" / "bomb.jpg").write_bytes(bombs.scan_bomb(75_000))
    begun = time.perf_counter()
    assert "more scans" in str(sl.check(root, quiet=True).to_dict())
    assert run(["train", str(root), "--runs", str(tmp_path / "runs"), "--quiet"]) == 3
    assert "bomb.jpg" in "".join(capsys.readouterr())
    assert time.perf_counter() - begun < 5 * QUICK


def test_ordinary_files_of_every_format_pass_with_the_same_pixels():
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
        content = encoded(smooth(), kind)
        with Image.open(io.BytesIO(content)) as image:
            assert off(decode_raw(content), np.asarray(image.convert("RGB"))) == 0, kind
