"""The body of a call: counted and timed as it arrives, kept in memory, taken apart into pictures."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from sightline.serving.problems import Problem
from sightline.serving.settings import Limits

FIELD, IMAGES = "file", "images"
"""What a form's files are called, and the list of pictures in JSON."""
LONGEST_NAME = 255
# Of which the headers of a part are a few.
MAX_PART_HEADERS, MAX_PART_HEADER_BYTES = 8, 4096
CLOSE = {"Connection": "close"}
GZIP = 16 + zlib.MAX_WBITS
QUOTED = re.compile(rb'"(\\.|[^"\\])*"')
EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)


class Gone(Exception):  # noqa: N818
    """The client left before its body was whole: there is nobody to answer."""


@dataclass
class Picture:
    """An encoded picture and its name."""

    name: str
    content: bytes


@dataclass
class Arrivals:
    """The bytes of all bodies that are arriving, so that many large ones at once cannot fill the memory."""

    limit: int
    bytes: int = 0


class Gzip:
    """Unpacks a body as it arrives, and stops at the limit: a few KiB can be packed GiB."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._left = limits, limits.max_body_bytes
        self._unpacker = zlib.decompressobj(GZIP)

    def unpack(self, part: bytes) -> bytes:
        """Give what a part holds. Raises Problem 400 for what is no gzip, 413 for too much."""
        try:
            content = self._unpacker.decompress(part, self._left + 1)
        except zlib.error:
            raise _no_gzip() from None
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._limits)
        if self._unpacker.unused_data:
            raise _no_gzip()
        return content

    def end(self) -> None:
        """Raise Problem 400 where the end is missing."""
        if not self._unpacker.eof:
            raise _no_gzip()


def unpacker_of(content_encoding: str, limits: Limits) -> Gzip | None:
    """Make what unpacks a body; None for one that comes as it is. Raises Problem 415 for any encoding but gzip."""
    encoding = content_encoding.strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return Gzip(limits)
    if encoding in ("", "identity"):
        return None
    detail = "the Content-Encoding should be gzip, or none"
    raise Problem(415, detail, {"Accept-Encoding": "gzip, identity"})


def _no_gzip() -> Problem:
    return Problem(400, "the body is not whole gzip data, which its Content-Encoding says it is")


async def read_body(
    receive: Receive, declared: str | None, limits: Limits, arrivals: Arrivals, gzip: Gzip | None = None
) -> bytes:
    """Read a body, and unpack it. `declared` is its Content-Length, which is believed only where it is too large.

    Raises Problem 413 (too large, also when unpacked), 400 (damaged gzip), 408 (too slow) or 429 (too much arrives at
    once), and Gone.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > limits.max_body_bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    received = held = 0
    try:
        async with asyncio.timeout(limits.receive_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part: bytes = message.get("body", b"")
                received += len(part)
                if received > limits.max_body_bytes:
                    raise _too_large(limits)
                if gzip is not None:
                    part = gzip.unpack(part)
                held += len(part)
                arrivals.bytes += len(part)
                if arrivals.bytes > arrivals.limit:
                    raise Problem(429, "more is arriving than the server can hold; try again later")
                parts.append(part)
                if not message.get("more_body", False):
                    if gzip is not None:
                        gzip.end()
                    return b"".join(parts)
    except TimeoutError:
        detail = f"the body did not arrive within {limits.receive_seconds:g} seconds"
        raise Problem(408, detail, CLOSE) from None
    finally:
        arrivals.bytes -= held


def _too_large(limits: Limits) -> Problem:
    return Problem(413, f"the body is larger than {limits.max_body_mib:g} MiB")


def parser_of(content_type: str) -> Callable[[bytes, Limits], list[Picture]]:
    """Find what takes the pictures from a body: the body itself, the files of a form, or a list in JSON.

    Raises Problem 415 for any other type, and 400 for a form without a boundary. What is given raises Problem 400 for a
    damaged body, 422 for too many pictures.
    """
    kind, options = parse_options_header(content_type or "application/octet-stream")
    if kind == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise Problem(400, "the form's Content-Type names no boundary")
        return partial(_files, boundary)
    if kind == b"application/json":
        return _from_json
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return _whole
    raise Problem(
        415, "the Content-Type should be image/..., application/octet-stream, multipart/form-data or application/json"
    )


def _whole(body: bytes, _limits: Limits) -> list[Picture]:
    return [Picture("image 0", body)]


def _from_json(body: bytes, limits: Limits) -> list[Picture]:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON") from None
    images: Any = content.get(IMAGES) if isinstance(content, dict) and len(content) == 1 else None
    if not (isinstance(images, list) and images and all(isinstance(image, str) for image in images)):
        raise Problem(400, f'the JSON should be {{"{IMAGES}": ["...", ...]}}, with pictures in base64 or as data URLs')
    if len(images) > limits.max_images:
        raise _too_many(limits)
    return [Picture(f"image {number}", _from_base64(image, number)) for number, image in enumerate(images)]


def _from_base64(text: str, number: int) -> bytes:
    head, comma, encoded = text.partition(",")
    if comma:
        if not (head[:5].lower() == "data:" and head[-7:].lower() == ";base64"):
            raise Problem(400, f"image {number} is not a data URL with base64")
        text = encoded
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise Problem(400, f"image {number} is not base64") from None


def _too_many(limits: Limits) -> Problem:
    most = limits.max_images
    return Problem(422, f"more than {most} pictures; at most {most} are taken in a call")


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)


def _files(boundary: bytes, body: bytes, limits: Limits) -> list[Picture]:
    """Take a form apart, in memory: Starlette's own parser would write larger files to disk."""
    parts: list[_Part] = []
    whole = False

    def begin() -> None:
        if len(parts) == limits.max_images:
            raise _too_many(limits)
        parts.append(_Part())

    def header_name(data: bytes, start: int, end: int) -> None:
        parts[-1].name += data[start:end]

    def header_value(data: bytes, start: int, end: int) -> None:
        parts[-1].value += data[start:end]

    def header_end() -> None:
        part = parts[-1]
        part.headers[bytes(part.name).lower()] = bytes(part.value)
        part.name.clear()
        part.value.clear()

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1].content += data[start:end]

    def form_end() -> None:
        nonlocal whole
        whole = True

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": header_name,
                "on_header_value": header_value,
                "on_header_end": header_end,
                "on_part_data": content,
                "on_end": form_end,
            },
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_PART_HEADER_BYTES,
        )
        parser.write(body)
    except FormParserError:
        raise Problem(400, "the form is damaged: it is not multipart/form-data with this boundary") from None
    if not whole:
        raise Problem(400, "the form is damaged: its closing boundary is missing")
    if not parts:
        raise Problem(400, f"the form has no picture; its fields should be called '{FIELD}'")
    return [_picture(part, number) for number, part in enumerate(parts)]


def _picture(part: _Part, number: int) -> Picture:
    disposition = part.headers.get(b"content-disposition", b"")
    kind, options = parse_options_header(disposition)
    field_name = options.get(b"name", b"").decode("utf-8", "replace")
    if kind != b"form-data" or field_name != FIELD:
        raise Problem(400, f"part {number} of the form is not a field called '{FIELD}'")
    name = (_extended_name(disposition) or options.get(b"filename", b"").decode("utf-8", "replace"))[:LONGEST_NAME]
    return Picture(name or f"image {number}", bytes(part.content))


def _extended_name(disposition: bytes) -> str:
    """The name in `filename*=UTF-8''...` (RFC 5987), which some programs send for a name that is not ASCII."""
    found = EXTENDED_NAME.search(QUOTED.sub(b'""', disposition))
    return "" if found is None else unquote_to_bytes(found[2]).decode(found[1].decode("ascii"), "replace")
