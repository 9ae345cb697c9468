"""Everything the server refuses, as problem+json (RFC 9457)."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sightline.serving.schemas import ProblemDetails

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
RETRIED = (429, 503)
# RFC 9110's names, which Python has from 3.13 on.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_log = logging.getLogger("sightline.serving")


class Problem(Exception):  # noqa: N818
    """A request that is refused: its status, a line for a person, and headers where the status wants some."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @property
    def title(self) -> str:
        """The status in words."""
        return TITLES.get(self.status) or HTTPStatus(self.status).phrase

    def details(self, incident: str | None = None) -> ProblemDetails:
        """Give the problem as it is told."""
        return ProblemDetails(title=self.title, status=self.status, detail=self.detail, incident=incident)

    def response(self, incident: str | None = None) -> Response:
        """Answer with the problem; 429 and 503 say when to come again."""
        if self.status in RETRIED:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))
        content = self.details(incident).model_dump_json(exclude_none=True)
        return Response(content, self.status, self.headers, MEDIA_TYPE)


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Answer a Problem."""
    assert isinstance(error, Problem)
    return error.response()


async def answer_http(request: Request, error: Exception) -> Response:
    """Answer what Starlette refuses by itself: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        detail = "nothing is at this path; GET /openapi.json tells what there is"
    elif error.status_code == 405:
        detail = f"{request.method[:20]} is not possible here; the header Allow tells what is"
    else:
        detail = HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase
    return Problem(error.status_code, detail, dict(error.headers or {})).response()


async def answer_failure(_request: Request, error: Exception) -> Response:
    """Answer what should not have happened: an incident's number here, everything else in the server's log."""
    incident = secrets.token_hex(6)
    _log.error("incident %s", incident, exc_info=error)
    detail = f"the server failed; its log tells more of incident {incident}"
    return Problem(500, detail).response(incident)
