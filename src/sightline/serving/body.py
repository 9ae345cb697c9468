"""The body of a call: counted and timed as it arrives, kept in memory, taken apart into pictures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from sightline.serving.problems import Problem
from sightline.serving.settings import Limits

FIELD = "file"
LONGEST_NAME = 255
# Of which the headers of a part are a few.
MAX_PART_HEADERS, MAX_PART_HEADER_BYTES = 8, 4096
CLOSE = {"Connection": "close"}


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


async def read_body(receive: Receive, declared: str | None, limits: Limits, arrivals: Arrivals) -> bytes:
    """Read a body. `declared` is its Content-Length, which is believed only where it is too large.

    Raises Problem 413 (too large), 408 (too slow) or 429 (too much arrives at once), and Gone.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > limits.max_body_bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    received = 0
    try:
        async with asyncio.timeout(limits.receive_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part: bytes = message.get("body", b"")
                received += len(part)
                arrivals.bytes += len(part)
                if received > limits.max_body_bytes:
                    raise _too_large(limits)
                if arrivals.bytes > arrivals.limit:
                    raise Problem(429, "more is arriving than the server can hold; try again later")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        detail = f"the body did not arrive within {limits.receive_seconds:g} seconds"
        raise Problem(408, detail, CLOSE) from None
    finally:
        arrivals.bytes -= received


def _too_large(limits: Limits) -> Problem:
    return Problem(413, f"the body is larger than {limits.max_body_mib:g} MiB")


def boundary_of(content_type: str) -> bytes | None:
    """Find a form's boundary in the Content-Type; None for a picture's own bytes.

    Raises Problem 415 for any other type, and 400 for a form without a boundary.
    """
    kind, options = parse_options_header(content_type or "application/octet-stream")
    if kind == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise Problem(400, "the form's Content-Type names no boundary")
        return boundary
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return None
    raise Problem(415, "the Content-Type should be image/..., application/octet-stream or multipart/form-data")


def pictures_of(body: bytes, boundary: bytes | None, limits: Limits) -> list[Picture]:
    """Take the pictures from a body: the body itself, or the files of a form.

    Raises Problem 400 for a damaged form, 422 for too many pictures.
    """
    return [Picture("image 0", body)] if boundary is None else _files(body, boundary, limits.max_images)


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)


def _files(body: bytes, boundary: bytes, most: int) -> list[Picture]:
    """Take a form apart, in memory: Starlette's own parser would write larger files to disk."""
    parts: list[_Part] = []
    whole = False

    def begin() -> None:
        if len(parts) == most:
            raise Problem(422, f"more than {most} pictures; at most {most} are taken in a call")
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
    kind, options = parse_options_header(part.headers.get(b"content-disposition", b""))
    field_name = options.get(b"name", b"").decode("utf-8", "replace")
    if kind != b"form-data" or field_name != FIELD:
        raise Problem(400, f"part {number} of the form is not a field called '{FIELD}'")
    name = options.get(b"filename", b"").decode("utf-8", "replace")[:LONGEST_NAME]
    return Picture(name or f"image {number}", bytes(part.content))
