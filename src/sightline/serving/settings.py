"""What the server accepts, and how much at once."""

from __future__ import annotations

from sightline.settings.base import Count, Positive, Section

MIB = 2**20


class Limits(Section):
    """Limits"""

    max_body_mib: Positive = 8.0
    """Maximum size of a request body in MiB, counted as it arrives."""
    max_megapixels: Positive = 25.0
    """Maximum size of a picture in megapixels, checked before it is decoded."""
    max_images: Count = 16
    """Maximum number of pictures per request."""
    queue: Count = 32
    """Maximum number of requests in progress; further requests are refused with 429."""
    receive_seconds: Positive = 10.0
    """Time limit for a request body to arrive."""
    answer_seconds: Positive = 10.0
    """Time limit for an answer, from the last byte of the body."""
    max_batch: Count | None = None
    """Maximum number of pictures per batch of the network. [measured at start]"""
    decode_threads: Count = 2
    """Threads that decode pictures."""

    @property
    def max_body_bytes(self) -> int:
        """`max_body_mib` in bytes."""
        return int(self.max_body_mib * MIB)

    @property
    def max_pixels(self) -> int:
        """`max_megapixels` in pixels."""
        return int(self.max_megapixels * 1e6)
