"""Every kind of TIFF is read as `tifffile` reads it, by the decoder's rules, or refused in words."""

from __future__ import annotations

import io
import itertools
from collections import Counter

import numpy as np
import pytest
import tifffile

from helpers.decoding import off
from sightline.data.decoder import decode_raw
from sightline.errors import ImageError

HEIGHT, WIDTH = 40, 56
TYPES = {
    "1": np.bool_, "8": np.uint8, "16": np.uint16, "32": np.uint32, "signed 8": np.int8, "signed 16": np.int16,
    "float 16": np.float16, "float 32": np.float32, "float 64": np.float64,
}  # fmt: skip
KINDS = {
    "gray": (1, {"photometric": "minisblack"}),
    "white is zero": (1, {"photometric": "miniswhite"}),
    "gray alpha": (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "rgb": (3, {"photometric": "rgb"}),
    "rgba": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "rgba premultiplied": (4, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "rgb and more": (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
    "cmyk": (4, {"photometric": "separated"}),
    "palette": (1, {"photometric": "palette"}),
}
LAYOUTS = [*itertools.product(("contig", "separate"), (None, "zlib"), "<>", (False, True))]
# What is read, of which nothing may come to be refused; all else is refused.
READ = {
    ("1", "gray"), ("1", "white is zero"),
    *itertools.product(["8"], KINDS),
    *itertools.product(["16"], KINDS.keys() - {"gray alpha", "palette"}),
    ("signed 16", "gray"), ("float 32", "gray"), ("float 32", "white is zero"),
}  # fmt: skip

LACKING = {("16", "white is zero"), ("signed 16", "gray"), ("float 32", "gray"), ("float 32", "white is zero")}
"""Of which Pillow cannot read some in the order of bytes that is not the machine's."""


def written(bits, kind, planar, codec, order, tiled):
    """A file by tifffile, and what tifffile reads of it: (h, w, C) of the file's own values."""
    channels, options = KINDS[kind]
    separate = planar == "separate"
    rng = np.random.default_rng(len(bits) + len(kind))
    shape = (channels, HEIGHT, WIDTH) if separate and channels > 1 else (HEIGHT, WIDTH, channels)
    part = rng.random(shape if channels > 1 else (HEIGHT, WIDTH))
    dtype = np.dtype(TYPES[bits])
    if dtype.kind == "b":
        values = part > 0.5
    else:
        values = part.astype(dtype) if dtype.kind == "f" else (part * np.iinfo(dtype).max).astype(dtype)
    if kind == "palette":
        options = {**options, "colormap": rng.integers(0, 65536, (3, 2 ** int(bits))).astype(np.uint16)}
    if channels > 1:
        options = {**options, "planarconfig": planar}
    place = {"tile": (16, 16)} if tiled else {"rowsperstrip": 7}
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, byteorder=order, compression=codec, **place, **options)
    read = tifffile.imread(io.BytesIO(stream.getvalue())).reshape(shape)
    return (
        stream.getvalue(),
        np.moveaxis(read, 0, -1) if len(shape) == 3 and shape[0] == channels > 1 else read,
        options,
    )


def expected(values, bits, kind, options):
    """The decoder's rules, in float64."""
    if kind == "palette":
        return np.moveaxis(options["colormap"], 0, -1)[values[..., 0]] / 257
    white = {"1": 1, "8": 255}.get(bits, 1 if bits.startswith("float") else 65535)
    levels = values.astype(np.float64) / white * 255
    if kind == "white is zero":
        return 255 - levels
    if kind in ("gray alpha", "rgba"):
        alpha = levels[..., -1:] / 255
        return levels[..., :-1] * alpha + 255 * (1 - alpha)
    if kind == "rgba premultiplied":
        return np.minimum(levels[..., :3], levels[..., 3:]) + 255 - levels[..., 3:]
    if kind == "cmyk":
        return (255 - levels[..., :3]) * (255 - levels[..., 3:]) / 255
    return levels[..., :3] if kind == "rgb and more" else levels


# No palette can have as many colors as other types have values.
@pytest.mark.parametrize(
    ("bits", "kind"), [(bits, kind) for bits in TYPES for kind in KINDS if kind != "palette" or bits in ("8", "16")]
)
def test_each_kind_is_read_as_tifffile_reads_it_or_refused_in_words(bits, kind):
    came = Counter()
    for layout in LAYOUTS:
        if KINDS[kind][0] == 1 and layout[0] == "separate":
            continue
        content, values, options = written(bits, kind, *layout)
        try:
            ours = decode_raw(content, name="odd.tif")
        except ImageError as error:
            assert str(error).startswith("odd.tif: ") and "\n" not in str(error)
            came["refused"] += 1
        else:
            wanted = expected(values, bits, kind, options)
            assert ours.shape == wanted.shape, layout
            # Of 16-bit color the upper 8 bits are kept, and where it composites, Pillow rounds more than once.
            apart = np.abs(ours - wanted)
            composed = kind in ("rgba", "rgba premultiplied", "cmyk", "gray alpha")
            assert apart.max() <= (3 if composed else 1.01) and apart.mean() < 0.6, layout
            came["read"] += 1
    if (bits, kind) not in READ:
        assert came["read"] == 0
    elif kind == "gray alpha":
        assert came["refused"] == len(LAYOUTS) // 2  # its planes apart
    elif (bits, kind) == ("8", "rgb and more"):
        assert came["refused"] == len(LAYOUTS) // 4  # its planes apart, not compressed: Pillow cannot open it
    elif (bits, kind) in LACKING:
        assert came["read"] >= 4
    else:
        assert came["refused"] == 0


@pytest.mark.parametrize("bits", ["1", "8", "16"])
@pytest.mark.parametrize("kind", ["gray", "white is zero"])
@pytest.mark.parametrize("codec", [None, "zlib"])
def test_one_plane_is_no_plane_apart(bits, kind, codec):
    content, _, _ = written(bits, kind, "contig", codec, "<", tiled=False)
    directory = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[directory : directory + 2], "little")
    starts = range(directory + 2, directory + 2 + 12 * count, 12)
    tags = {int.from_bytes(content[start : start + 2], "little"): start for start in starts}
    # tifffile does not write the tag for one plane: another entry that nobody needs becomes it.
    spare = tags[305]
    entries = sorted(
        [content[start : start + 12] for start in starts if start != spare]
        + [(284).to_bytes(2, "little") + b"\3\0\1\0\0\0\2\0\0\0"]
    )
    changed = content[: directory + 2] + b"".join(entries) + content[directory + 2 + 12 * count :]
    assert tifffile.TiffFile(io.BytesIO(changed)).pages[0].planarconfig == 2
    assert np.array_equal(decode_raw(changed), decode_raw(content))


@pytest.mark.parametrize("photometric", ["ycbcr", "cielab"])
@pytest.mark.parametrize("codec", [None, "zlib"])
def test_planes_apart_give_the_same_colors(photometric, codec):
    values = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    options = {
        "photometric": photometric,
        "compression": codec,
        **({"subsampling": (1, 1)} if photometric[0] == "y" else {}),
    }
    together, apart = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(together, values, planarconfig="contig", **options)
    tifffile.imwrite(apart, np.moveaxis(values, -1, 0), planarconfig="separate", **options)
    if photometric == "cielab" or codec is None:
        with pytest.raises(ImageError, match=r"(LAB|YCbCr) values with a plane for each channel"):
            decode_raw(apart.getvalue())
        return
    assert off(decode_raw(apart.getvalue()), decode_raw(together.getvalue())) <= 1
