"""HEIC, the format of many telephones' photographs: read by pillow-heif, an extra, where it is installed."""

from __future__ import annotations

from functools import cache

from sightline.errors import ImageError
from sightline.installation import install_command

FORMAT = "HEIF"
SUFFIXES = (".heic", ".heif", ".hif")
HEVC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))
LONGEST_BOX = 256


class HeicError(ImageError):
    """A HEIC picture where the extra that reads it is not installed."""


def is_heic(content: bytes) -> bool:
    """Tell by the brands in its first box whether a file is HEIC, and not AVIF, which has boxes of the same kind.

    ISO/IEC 14496-12, 4.3: size, "ftyp", the major brand, its version, and the compatible brands, four bytes each.
    """
    if content[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(content[:4], "big"), LONGEST_BOX)
    brands = {content[8:12], *(content[place : place + 4] for place in range(16, end, 4))}
    return bool(brands & HEVC_BRANDS) and not brands & AVIF_BRANDS


def heif_format(subject: str) -> str:
    """Make Pillow know the format, and give its name there. Raises HeicError, naming the extra, where it is missing.

    The picture comes turned as its own boxes say, and without an EXIF orientation.
    """
    if not _registered():
        found = f"it is HEIC, which is read with {install_command('heic')}"
        raise HeicError(subject, found, advice="Install that, or save it as JPEG.")
    return FORMAT


@cache
def _registered() -> bool:
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True
