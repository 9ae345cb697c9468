"""The one decoder: formats, modes and depths agree with OpenCV, or with the format's own rules."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.decoding import by_opencv, encoded, off, smooth
from sightline.data.decoder import SUFFIXES, decode_raw, probe
from sightline.errors import ImageError


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 90}, 3),
        ("JPEG", {"quality": 70, "progressive": True, "subsampling": 0}, 3),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 80}, 3),
        ("BMP", {}, 0),
        ("AVIF", {"quality": 90}, 4),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_agree_with_opencv(kind, options, tolerance, channels):
    content = encoded(smooth(channels=channels), kind, **options)
    ours = decode_raw(content)
    theirs = by_opencv(content)
    assert ours.dtype == np.uint8
    assert ours.shape[:2] == (40, 56)
    assert ours.shape[2] == (3 if kind == "WEBP" else channels)
    assert off(np.broadcast_to(ours, theirs.shape), theirs) <= tolerance


def test_gif_first_frame():
    first, second = smooth(seed=1), smooth(seed=2)
    stream = io.BytesIO()
    Image.fromarray(first).save(stream, "GIF", save_all=True, append_images=[Image.fromarray(second)])
    ours = decode_raw(stream.getvalue())
    assert off(ours, by_opencv(stream.getvalue())) == 0
    assert np.abs(ours.astype(int) - first).mean() < 12  # a palette of 256 colours
    assert np.abs(ours.astype(int) - second).mean() > 30


def exif_with(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_opencv_turns_it(orientation):
    content = encoded(smooth(), "JPEG", quality=95, exif=exif_with(orientation))
    ours = decode_raw(content)
    assert off(ours, by_opencv(content)) <= 3
    unturned = by_opencv(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    turned = {
        1: unturned,
        2: cv2.flip(unturned, 1),
        3: cv2.rotate(unturned, cv2.ROTATE_180),
        4: cv2.flip(unturned, 0),
        5: cv2.transpose(unturned),
        6: cv2.rotate(unturned, cv2.ROTATE_90_CLOCKWISE),
        7: cv2.rotate(cv2.transpose(unturned), cv2.ROTATE_180),
        8: cv2.rotate(unturned, cv2.ROTATE_90_COUNTERCLOCKWISE),
    }[orientation]
    assert off(ours, turned) <= 3
    for kind, options in (
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 90}),
    ):
        same = decode_raw(encoded(smooth(), kind, exif=exif_with(orientation), **options))
        assert off(same, ours) <= 20, kind  # the JPEG's loss
        assert same.shape == ours.shape


def test_damaged_exif_is_no_damaged_picture():
    content = encoded(smooth(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\xff\xff")
    assert off(decode_raw(content), by_opencv(content)) <= 3


def test_alpha_is_composited_on_white():
    rgba = np.dstack([smooth(), smooth(channels=1, seed=3)])
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        content = encoded(rgba, kind, **options)
        alpha = rgba[..., 3:] / 255
        expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
        assert np.abs(decode_raw(content) - expected).max() <= 1, kind


def test_gray_alpha_stays_gray():
    gray, alpha = smooth(channels=1), smooth(channels=1, seed=3)
    stream = io.BytesIO()
    Image.merge("LA", [Image.fromarray(gray[..., 0]), Image.fromarray(alpha[..., 0])]).save(stream, "PNG")
    expected = gray * (alpha / 255) + 255 * (1 - alpha / 255)
    ours = decode_raw(stream.getvalue())
    assert ours.shape == (40, 56, 1)
    assert np.abs(ours - expected).max() <= 1


def test_palette_and_its_transparency():
    palette = Image.fromarray(smooth()).quantize(16)
    stream = io.BytesIO()
    palette.save(stream, "PNG")
    assert off(decode_raw(stream.getvalue()), by_opencv(stream.getvalue())) == 0
    indices = np.asarray(palette)
    for transparency in (3, bytes([255, 255, 255, 0, 128])):
        stream = io.BytesIO()
        palette.save(stream, "PNG", transparency=transparency)
        ours, theirs = decode_raw(stream.getvalue()), by_opencv(stream.getvalue())
        assert (ours[indices == 3] == 255).all()
        assert off(ours[indices > 4], theirs[indices > 4]) == 0
        if isinstance(transparency, bytes):
            half = theirs[indices == 4] * (128 / 255) + 255 * (127 / 255)
            assert np.abs(ours[indices == 4] - half).max() <= 1
    stream = io.BytesIO()
    palette.save(stream, "GIF", transparency=int(indices[0, 0]))
    assert (decode_raw(stream.getvalue())[0, 0] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_one_bit(kind):
    bits = (smooth(channels=1) > 120).astype(np.uint8) * 255
    content = encoded(bits, kind, mode="1")
    ours = decode_raw(content)
    assert ours.shape == (40, 56, 1)
    assert off(ours, by_opencv(content, cv2.IMREAD_GRAYSCALE)) == 0
    assert off(ours, bits) == 0


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_bits_whichever_is_white(photometric):
    bits = smooth(channels=1)[..., 0] > 120
    stream = io.BytesIO()
    tifffile.imwrite(stream, bits, photometric=photometric)
    white = bits if photometric == "minisblack" else ~bits
    assert np.array_equal(decode_raw(stream.getvalue())[..., 0], white * np.uint8(255))


def test_cmyk_jpeg_of_both_kinds():
    rgb = smooth()
    plain = encoded(rgb, "JPEG", mode="CMYK", quality=95)  # Pillow writes Adobe's inverted form
    assert b"Adobe" in plain
    assert off(decode_raw(plain), by_opencv(plain)) <= 6
    assert np.abs(decode_raw(plain).astype(int) - rgb).mean() < 4
    tiff = encoded(rgb, "TIFF", mode="CMYK")
    assert np.abs(decode_raw(tiff).astype(int) - rgb).mean() < 2


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_tiff_is_scaled_not_clipped(byteorder, photometric, compression):
    values = np.linspace(0, 65535, 40 * 56).round().astype(np.uint16).reshape(40, 56)
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric=photometric, byteorder=byteorder, compression=compression)
    if photometric == "miniswhite" and byteorder == ">":
        # Pillow has no reader for this kind: refused, not misread.
        with pytest.raises(ImageError):
            decode_raw(stream.getvalue())
        return
    expected = values / 257 if photometric == "minisblack" else 255 - values / 257
    ours = decode_raw(stream.getvalue())
    assert ours.shape == (40, 56, 1)
    assert np.abs(ours[..., 0] - expected).max() <= 0.5


def test_16_bit_png():
    values = np.linspace(0, 65535, 40 * 56).round().astype(np.uint16).reshape(40, 56)
    content = cv2.imencode(".png", values)[1].tobytes()
    assert np.abs(decode_raw(content)[..., 0] - values / 257).max() <= 0.5
    colour = np.dstack([values, values[::-1], values[:, ::-1]])
    content = cv2.imencode(".png", colour)[1].tobytes()
    assert np.abs(decode_raw(content)[..., ::-1] - colour / 257).max() <= 1


def test_16_bit_png_with_a_transparent_value():
    values = np.array([[0, 1000, 65535]], np.uint16)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", transparency=1000)
    assert decode_raw(stream.getvalue())[0, :, 0].tolist() == [0, 255, 255]


def png_with_key(depth, samples, key):
    """A PNG with a colour key (tRNS), of gray samples (h, w) or colours (h, w, 3), by the PNG specification."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = samples.shape[:2]
    bits = (samples.reshape(height, -1, 1) >> np.arange(depth)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row.astype(np.uint8).reshape(-1)).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", width, height, depth, 0 if samples.ndim == 2 else 2, 0, 0, 0)
    named = [(b"IHDR", header), (b"tRNS", struct.pack(f">{len(key)}H", *key)), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in [*named, (b"IEND", b"")])


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_colour_key_of_a_gray_png_is_white_and_nothing_else(depth):
    levels = 1 << depth
    samples = np.random.default_rng(depth).integers(0, levels, (16, 13))
    for key in range(0, levels, max(1, levels // 16)):
        content = png_with_key(depth, samples, [key])
        scaled = by_opencv(content, cv2.IMREAD_GRAYSCALE)[..., 0]  # which leaves the key alone
        assert np.array_equal(scaled, samples * 255 // (levels - 1))
        assert np.array_equal(decode_raw(content)[..., 0], np.where(samples == key, 255, scaled))


def test_of_a_colour_key_the_lowest_bits_count():
    for key in (5, 0xF5):
        assert decode_raw(png_with_key(4, np.array([[5, 9]]), [key])).reshape(-1).tolist() == [255, 153]


@pytest.mark.parametrize("depth", [8, 16])
def test_the_colour_key_of_a_colour_png_is_white_as_opencv_has_it(depth):
    values = np.array([0x12, 0x34]) if depth == 8 else np.array([0x1234, 0x1235, 0x3412])
    samples = np.random.default_rng(depth).choice(values, (24, 17, 3))
    for key in samples.reshape(-1, 3)[:9]:
        content = png_with_key(depth, samples, key.tolist())
        theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(theirs[..., 2::-1], samples)
        hidden = theirs[..., 3] == 0
        assert np.array_equal(hidden, (samples == key).all(axis=2)) and hidden.any()
        ours = decode_raw(content)
        assert (ours[hidden] == 255).all()
        assert np.abs(ours[~hidden] - samples[~hidden] * (255 / (2**depth - 1))).max() <= 1


def test_32_bit_integers_within_16_bits_only():
    values = np.array([[0, 257, 32768, 65535]], np.int32)
    stream = io.BytesIO()
    tifffile.imwrite(stream, values)
    assert decode_raw(stream.getvalue())[0, :, 0].tolist() == [0, 1, 128, 255]
    for wrong in (-1, 65536):
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.array([[0, wrong]], np.int32))
        with pytest.raises(ImageError, match=str(wrong)):
            decode_raw(stream.getvalue())


def test_float_tiff_in_unit_range_only():
    values = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    stream = io.BytesIO()
    tifffile.imwrite(stream, values)
    assert np.abs(decode_raw(stream.getvalue())[..., 0] - values * 255).max() <= 0.5
    for wrong in (-0.1, 255.0, np.nan, np.inf):
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.array([[0, wrong]], np.float32))
        with pytest.raises(ImageError, match="float"):
            decode_raw(stream.getvalue())


def test_lab_tiff():
    rgb = smooth()
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    stored = np.dstack([lab[..., 0] * 2.55, lab[..., 1] % 256, lab[..., 2] % 256]).round().astype(np.uint8)
    stream = io.BytesIO()
    tifffile.imwrite(stream, stored, photometric="cielab")
    # OpenCV's Lab is by D65, TIFF's by D50: near, not equal.
    assert np.abs(decode_raw(stream.getvalue()).astype(int) - rgb).mean() < 8


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_every_mode_of_pillow_gives_1_or_3_channels(mode):
    from sightline.data import decoder

    if mode == "La":
        image = Image.new("LA", (5, 4), (100, 128)).convert("La")
    elif mode == "RGBa":
        image = Image.new("RGBA", (5, 4), (100, 0, 0, 128)).convert("RGBa")
    else:
        image = Image.new(mode, (5, 4))
    pixels = decoder._to_bytes(image, "image")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 5, 1 if mode in ("1", "L", "LA", "La") else 3)


def test_path_and_bytes_give_the_same(tmp_path):
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
        content = encoded(smooth(), kind)
        path = tmp_path / f"picture.{kind.lower()}"
        path.write_bytes(content)
        assert np.array_equal(decode_raw(path), decode_raw(content))
        assert probe(path) == probe(content)
        assert path.suffix in SUFFIXES


def test_probe_reads_size_and_colour():
    assert probe(encoded(smooth(), "JPEG")) == (56, 40, False)
    assert probe(encoded(smooth(channels=1), "PNG")) == (56, 40, True)
