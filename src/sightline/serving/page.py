"""The page's files, read once: nothing that a request says becomes a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = "page_files"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page_routes() -> list[Route]:
    """Make a route for each of the page's files; index.html is at `/`."""
    routes: list[Route] = []
    for file in sorted(files("sightline.serving").joinpath(FOLDER).iterdir(), key=lambda file: file.name):
        kind = file.name.rpartition(".")[2]
        if kind in TYPES:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            routes.append(Route(path, _sends(file.read_bytes(), TYPES[kind])))
    return routes


def _sends(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return send
