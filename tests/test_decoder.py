"""The decoder against OpenCV and tifffile, on pictures made here."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sightline.data.decoder import SUFFIXES, decode, decode_raw, fit_image, fit_images, probe, resize
from sightline.data.preprocessing import unit_preprocessing
from sightline.errors import ImageError, ResourceError


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


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 90}, 3),
        ("JPEG", {"quality": 70, "progressive": True, "subsampling": 0}, 3),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 80}, 3),
        ("BMP", {}, 0),
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
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        content = encoded(smooth(), kind)
        path = tmp_path / f"picture.{kind.lower()}"
        path.write_bytes(content)
        assert np.array_equal(decode_raw(path), decode_raw(content))
        assert probe(path) == probe(content)
        assert path.suffix in SUFFIXES


def test_probe_reads_size_and_colour():
    assert probe(encoded(smooth(), "JPEG")) == (56, 40, False)
    assert probe(encoded(smooth(channels=1), "PNG")) == (56, 40, True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
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


# Resizing


def test_squash_is_pillows_bilinear_and_averages_when_it_shrinks():
    pixels = smooth(64, 96)
    shrunk = resize(pixels, 32, 48, "squash")
    # A triangle filter of twice the scale: close to OpenCV's mean over each 2x2 block on a smooth picture.
    assert np.abs(shrunk.astype(int) - cv2.resize(pixels, (48, 32), interpolation=cv2.INTER_AREA)).max() <= 4
    grown = resize(pixels, 128, 192, "squash")
    assert off(grown, cv2.resize(pixels, (192, 128), interpolation=cv2.INTER_LINEAR)) <= 1


def test_crop_takes_the_centre():
    pixels = np.zeros((10, 30, 1), np.uint8)
    pixels[:, 10:20] = 200
    assert (resize(pixels, 10, 10, "crop") == 200).all()
    assert (resize(pixels, 4, 4, "crop") == 200).all()
    assert (resize(pixels.transpose(1, 0, 2), 4, 4, "crop") == 200).all()


def test_pad_keeps_the_aspect_and_fills_with_zero():
    pixels = np.full((10, 30, 3), 200, np.uint8)
    padded = resize(pixels, 30, 30, "pad")
    assert (padded[10:20] == 200).all()
    assert (padded[:10] == 0).all()
    assert (padded[20:] == 0).all()
    assert resize(pixels, 15, 15, "pad")[:, 0, 0].tolist() == [0] * 5 + [200] * 5 + [0] * 5


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([1, 3]), st.sampled_from(["squash", "crop", "pad"]),
)  # fmt: skip
def test_any_size_becomes_any_size(h, w, own, height, width, channels, fit):
    pixels = np.full((h, w, own), 77, np.uint8)
    fitted = fit_image(pixels, (height, width, channels), fit)
    assert fitted.shape == (height, width, channels)
    assert fitted.dtype == np.uint8
    assert set(np.unique(fitted)) <= ({0, 77} if fit == "pad" else {77})
    assert (fitted == 77).any()


def test_extreme_aspect_needs_no_extreme_memory():
    assert resize(np.zeros((1, 1_000_000, 1), np.uint8), 8, 8, "pad").shape == (8, 8, 1)


def test_gray_and_colour_conversion_is_pillows():
    pixels = smooth()
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(fit_image(pixels, (40, 56, 1), "squash")[..., 0], luma)
    assert off(luma, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)) <= 1
    gray = smooth(channels=1)
    assert np.array_equal(fit_image(gray, (40, 56, 3), "squash"), np.repeat(gray, 3, axis=2))


def test_arrays_and_files_go_through_the_same_resize():
    pixels = smooth()
    wanted = unit_preprocessing((24, 24, 1), "crop")
    from_file = decode(encoded(pixels, "PNG"), wanted)
    assert from_file.shape == (24, 24, 1)
    assert np.array_equal(fit_images(pixels[None], (24, 24, 1), "crop")[0], from_file)
    assert fit_images(pixels[None], (40, 56, 3), "squash")[0].base is not None
