"""The same framework and server with nothing behind: reads the body, answers a constant. Argument: a port."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def constant(request: Request) -> Response:
    """Read the body and answer what a digit's answer looks like."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


ANSWER = b'{"predictions":[{"name":"image 0","label":"7","probability":0.99}]}' + b" " * 550

if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/predict", constant, methods=["POST"])])
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), http="h11", loop="asyncio", ws="none", access_log=False,
        log_level="critical", server_header=False, proxy_headers=False,
    )  # fmt: skip
