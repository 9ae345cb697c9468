"""What the server counts, for Prometheus. Each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one application."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, in_hand: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "sightline_requests", "Answered requests.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "sightline_request_seconds", "Time to answer.", ("route",), registry=self._registry, buckets=SECONDS
        )
        self._images = Counter(
            "sightline_images", "Pictures by what came of them.", ("result",), registry=self._registry
        )
        self._batches = Histogram(
            "sightline_batch_images", "Pictures a batch.", registry=self._registry, buckets=IMAGES
        )
        Gauge("sightline_calls_in_hand", "Calls that wait or are computed.", registry=self._registry).set_function(
            in_hand
        )
        # Both results are there from the start, so that a rate of errors can be had before the first.
        self._answered, self._unreadable = self._images.labels("answered"), self._images.labels("unreadable")

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def images(self, answered: int, unreadable: int) -> None:
        """Count a call's pictures."""
        self._answered.inc(answered)
        self._unreadable.inc(unreadable)

    def batch(self, images: int) -> None:
        """Count a batch."""
        self._batches.observe(images)

    def text(self) -> bytes:
        """Give all figures as Prometheus reads them."""
        return generate_latest(self._registry)
