"""TIFF files: their directories, what decoding one costs, and where Pillow has to be helped (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from sightline.data import jpeg
from sightline.errors import ImageError

SIGNATURES = frozenset((b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+"))
MOST_ENTRIES = 4_096
"""Entries of a directory; a picture needs about 20."""
MOST_PIECES = 100_000
"""Strips or tiles: 100 megapixels in tiles of 64 x 64 are 24,400."""
ROOM_IN_TILES = 20
"""How many times the picture's own pixels its tiles may have, beyond `SMALL_PIXELS`: up to five planes, and margins."""
SMALL_PIXELS = 1 << 24
MOST_COUNTED = 100_000
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
STRIP_BYTES, PLANES, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 279, 284, 322, 323, 324, 325
SAMPLES, SAMPLE_FORMAT, OLD_JPEG_OFFSET = 277, 339, 513
MISREAD_APART = ("LA", "La", "PA", "LAB", "YCbCr")
"""Modes of Pillow whose channels it takes for others, or cannot read, where each has a plane."""
WHITE_IS_ZERO, SEPARATE_PLANES, SIGNED = 0, 2, 2
JPEG_COMPRESSIONS = (6, 7)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""
UNSIGNED = (1, 3, 4, 16)
ADVICE = "Save it again with another program."


class _Entry(NamedTuple):
    """An entry of a directory: the type of its values, how many there are, and where they begin."""

    type: int
    length: int
    place: int


class _Directory(NamedTuple):
    entries: dict[int, _Entry]
    bytes: int
    following: int


class _File:
    """The bytes of a file, and how they are to be read: `big` is BigTIFF."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.order: Literal["little", "big"] = "little" if content[:1] == b"I" else "big"
        self.big = 43 in content[2:4]
        self.first = self.number(8, 8) if self.big else self.number(4, 4)

    def number(self, place: int, size: int) -> int:
        """An unsigned number; what lies beyond the file's end is left out."""
        return int.from_bytes(self.content[place : place + size], self.order)

    def values(self, entry: _Entry | None) -> list[int]:
        """The numbers of an entry, as far as they are in the file; none where it is not there or has others."""
        if entry is None or entry.type not in UNSIGNED:
            return []
        size = SIZES[entry.type]
        end = min(entry.place + entry.length * size, len(self.content))
        return [self.number(place, size) for place in range(entry.place, end, size)]

    def first_value(self, entry: _Entry | None) -> int:
        """The first of them, 0 where there is none."""
        return next(iter(self.values(entry and entry._replace(length=min(entry.length, 1)))), 0)

    def directory(self, place: int, subject: str) -> _Directory:
        """Read the directory at `place`. Raises ImageError for one of more entries than any program writes."""
        count_size, entry_size, room = (8, 20, 8) if self.big else (2, 12, 4)
        count = self.number(place, count_size)
        if count > MOST_ENTRIES:
            raise ImageError(subject, f"its directory has {count:,} entries", f"at most {MOST_ENTRIES:,}", ADVICE)
        entries: dict[int, _Entry] = {}
        total, first = 0, place + count_size
        end = first + count * entry_size
        for start in range(first, end, entry_size):
            kind, number, value = self.number(start + 2, 2), self.number(start + 4, room), start + 4 + room
            size = SIZES.get(kind, 0) * number
            if size > room:
                value, total = self.number(value, room), total + size
            entries.setdefault(self.number(start, 2), _Entry(kind, number, value))
        return _Directory(entries, total, self.number(end, room))


def check(content: bytes, subject: str) -> None:
    """Raise ImageError for a file whose first picture takes far longer to decode than its pixels explain."""
    file = _File(content)
    directory = file.directory(file.first, subject)
    if directory.bytes > 2 * len(content):
        found = f"its directory names {directory.bytes:,} bytes in a file of {len(content):,}"
        raise ImageError(subject, found, "a complete TIFF picture", ADVICE)
    entries = directory.entries
    pieces = max(entries[tag].length if tag in entries else 0 for tag in (STRIP_OFFSETS, TILE_OFFSETS))
    if pieces > MOST_PIECES:
        raise ImageError(subject, f"it consists of {pieces:,} strips or tiles", f"at most {MOST_PIECES:,}", ADVICE)
    width, height, tile_width, tile_height, compression = (
        file.first_value(entries.get(tag)) for tag in (WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, COMPRESSION)
    )
    in_tiles = pieces * tile_width * tile_height if TILE_OFFSETS in entries else 0
    if in_tiles > max(SMALL_PIXELS, ROOM_IN_TILES * width * height):
        found = f"its tiles have {in_tiles:,} pixels for a picture of {width:,} x {height:,}"
        raise ImageError(subject, found, "tiles that are not much larger than the picture", ADVICE)
    if compression in JPEG_COMPRESSIONS:
        _check_scans(file, entries, jpeg.scans_allowed(width * height), subject)


def _check_scans(file: _File, entries: dict[int, _Entry], allowed: int, subject: str) -> None:
    """Count the scans of every strip or tile, each of which is a JPEG."""
    offsets, sizes = (
        [value for tag in tags for value in file.values(entries.get(tag))]
        for tags in ((STRIP_OFFSETS, TILE_OFFSETS), (STRIP_BYTES, TILE_BYTES))
    )
    whole = file.first_value(entries.get(OLD_JPEG_OFFSET))
    pieces = {*zip(offsets, sizes, strict=False), *([(whole, len(file.content))] if whole else [])}
    if sum(min(size, len(file.content)) for _, size in pieces) > 4 * len(file.content):
        raise ImageError(subject, "its strips or tiles overlap", "a complete TIFF picture", ADVICE)
    if any(jpeg.count_scans(file.content, start, start + size) > allowed for start, size in pieces):
        raise ImageError(subject, "it has more scans than any program writes", f"at most {allowed}", ADVICE)


def count_pictures(content: bytes) -> int:
    """Count the pictures of a file, at most `MOST_COUNTED`."""
    file, seen = _File(content), set[int]()
    place, count_size, entry_size, room = (file.first, 8, 20, 8) if file.big else (file.first, 2, 12, 4)
    while 0 < place < len(content) and place not in seen and len(seen) < MOST_COUNTED:
        seen.add(place)
        place = file.number(place + count_size + entry_size * file.number(place, count_size), room)
    return len(seen)


def without_needless_planes(content: bytes) -> bytes:
    """Let a picture of one channel say nothing of planes, since Pillow then takes its values for others."""
    if content[:4] not in SIGNATURES:
        return content
    file = _File(content)
    entries = file.directory(file.first, "").entries
    planes = entries.get(PLANES)
    one = file.first_value(entries.get(SAMPLES)) == 1 or SAMPLES not in entries
    if planes is None or not one or file.first_value(planes) != SEPARATE_PLANES:
        return content
    size = SIZES[planes.type]
    return content[: planes.place] + (1).to_bytes(size, file.order) + content[planes.place + size :]


def mend_planes(image: ImageFile, subject: str) -> None:
    """Let libtiff read what has a plane for each channel: Pillow itself reads only some kinds rightly.

    Raises ImageError for what neither reads rightly: gray with alpha or Lab in planes, signed 8-bit values.
    """
    if not isinstance(image, TiffImageFile):
        return
    if image.mode == "L" and SIGNED in image.tag_v2.get(SAMPLE_FORMAT, ()):
        raise ImageError(subject, "it is a TIFF of signed 8-bit values", "unsigned values", ADVICE)
    if image.tag_v2.get(PLANES) != SEPARATE_PLANES or len(image.getbands()) == 1:
        return
    if image.mode in MISREAD_APART:
        found = f"it is a TIFF of {image.mode} values with a plane for each channel"
        raise ImageError(subject, found, "the channels side by side", ADVICE)
    if image.tile and not image.use_load_libtiff:
        ends = zip(*(tile.extents[2:] for tile in image.tile if tile.extents), strict=True)
        extents = (0, 0, *map(max, ends))
        raw = f"{image.mode};16N" if image.tag_v2.get(BITS, (8,))[0] == 16 else image.mode
        args = (raw, False, image.tag_v2.offset)
        image.tile = [image.tile[0]._replace(codec_name="libtiff", extents=extents, offset=0, args=args)]
        image.use_load_libtiff = True


def white_of(image: PillowImage.Image) -> tuple[int, bool]:
    """The value of white in gray of more than 8 bits, and whether it counts from the other end: zero is white.

    Pillow turns 8-bit pictures of this kind round by itself, deeper ones not.
    """
    if not isinstance(image, TiffImageFile):
        return 65535, False
    white = 4095 if image.tag_v2.get(BITS) == (12,) else 65535
    return white, image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
