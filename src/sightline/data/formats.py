"""The formats of pictures, by their suffixes: which are read, and which are known but not read, so that they are told.

Sources: the registries of file suffixes of ImageMagick, Pillow and LibRaw.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sightline.data.decoder import SUFFIXES

_SUFFIXES_OF = {
    "RAW": (
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
        ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    ),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpm", ".jpx"),
    "JPEG XR": (".hdp", ".jxr", ".wdp"),
    "APNG": (".apng",),
    "BPG": (".bpg",),
    "DDS": (".dds",),
    "DICOM": (".dcm", ".dicom"),
    "EPS": (".eps",),
    "FITS": (".fit", ".fits"),
    "GIMP": (".xcf",),
    "ICO": (".cur", ".ico"),
    "ICNS": (".icns",),
    "OpenEXR": (".exr",),
    "PCX": (".pcx",),
    "Photoshop": (".psb", ".psd"),
    "PNM": (".pam", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm"),
    "QOI": (".qoi",),
    "Radiance HDR": (".hdr",),
    "SVG": (".svg", ".svgz"),
    "TGA": (".tga",),
    "XBM": (".xbm", ".xpm"),
}  # fmt: skip
UNREAD: Mapping[str, str] = {suffix: name for name, suffixes in _SUFFIXES_OF.items() for suffix in suffixes}
"""The suffixes of pictures that are not read, each with its format."""

_SAME = {
    ".jpe": ".jpg", ".jpeg": ".jpg", ".jfif": ".jpg", ".dib": ".bmp", ".tiff": ".tif", ".heif": ".heic", ".hif": ".heic"
}  # fmt: skip


def suffix_of(name: str) -> str:
    """Give the suffix of a file's name, in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path per file costs seconds)


def is_picture(name: str) -> bool:
    """Tell by its suffix whether a file should be a picture that is read."""
    return suffix_of(name) in SUFFIXES


def is_unread(name: str) -> bool:
    """Tell by its suffix whether a file should be a picture of a format that is not read."""
    return suffix_of(name) in UNREAD


def count_formats(names: Iterable[str]) -> dict[str, int]:
    """Count pictures that are not read by format and suffix, such as `RAW (.nef)`, the most first."""
    counts = Counter(suffix_of(name) for name in names)
    return {f"{UNREAD[suffix]} ({suffix})": count for suffix, count in counts.most_common()}


def unread_line(names: Sequence[str]) -> str:
    """Say which pictures are left out because of their formats."""
    formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(names).items())
    if len(names) == 1:
        return f"1 picture is left out, because its format is not read: {formats}"
    return f"{len(names):,} pictures are left out, because their formats are not read: {formats}"


def uneven_line(names: Mapping[str, Sequence[str]]) -> str | None:
    """Say that most pictures of a class are of a format that another class has none of; None where that is not so.

    `names`: the files of each class.
    """
    counts = {label: Counter(_SAME.get(suffix_of(name), suffix_of(name)) for name in names[label]) for label in names}
    for label, formats in counts.items():
        for suffix, count in formats.most_common(1):
            without = next((other for other, found in counts.items() if found and not found[suffix]), None)
            if 2 * count > formats.total() and without is not None:
                return (
                    f"most pictures of {label} are {suffix} files, and none of {without} is: a network may tell them"
                    " apart by the format"
                )
    return None
