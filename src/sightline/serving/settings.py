"""What the server accepts, and how much at once."""

from __future__ import annotations

from sightline.settings.base import Count, Positive, Section

MIB = 2**20


class Limits(Section):
    """Limits"""

    max_body_mib: Positive = 8.0
    """Largest body of a call in MiB, counted as it arrives."""
    max_megapixels: Positive = 25.0
    """Largest picture in megapixels, seen before it is decoded."""
    max_images: Count = 16
    """Pictures a call."""
    queue: Count = 32
    """Calls in hand at once; one more is refused with 429."""
    receive_seconds: Positive = 10.0
    """Time for a body to arrive."""
    answer_seconds: Positive = 10.0
    """Time to answer, from the body's last byte."""
    max_batch: Count | None = None
    """Pictures the network sees at once at most. [measured at start]"""
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
