"""HTTP around a Classifier: `create_app` gives an ASGI application, `sightline serve` runs it.

    from sightline.serving import create_app

    app = create_app(sightline.load("runs/digits-001"))

Starlette rather than FastAPI: pictures come as raw bytes under limits of our own, so that nothing is left for FastAPI
to parse, and the OpenAPI document has to name statuses that FastAPI does not know of. Free of torch: whatever the
Classifier stands on computes. The package's own module imports nothing, so that its settings can be read without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.serving.app import create_app
    from sightline.serving.settings import Limits

_ROOM_OF = {"create_app": "app", "Limits": "settings"}

__all__ = ["Limits", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightline.serving' has no attribute '{name}'")
    return getattr(import_module(f"sightline.serving.{_ROOM_OF[name]}"), name)
