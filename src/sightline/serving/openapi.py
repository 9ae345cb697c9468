"""The OpenAPI document: every path, status and media type, made of the models that the answers are built from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from sightline.installation import version
from sightline.serving.body import FIELD, IMAGES
from sightline.serving.problems import MEDIA_TYPE, RETRIED
from sightline.serving.schemas import Health, ModelFacts, Predictions, ProblemDetails
from sightline.serving.settings import Limits

REFUSALS = {
    400: "A damaged form, a wrong query, or a Host header that does not name this server.",
    403: "The request comes from a web page of another origin.",
    408: "The body did not arrive in time.",
    413: "The body or a picture is too large.",
    415: "The content type is not supported.",
    422: "No readable picture, or too many pictures.",
    429: "Too many requests are in progress.",
    500: "The server failed; its log has more about the incident.",
    503: "The server is shutting down, or could not respond in time.",
}


def document(class_names: Sequence[str], limits: Limits, root_path: str = "") -> dict[str, Any]:
    """Describe a server of these classes and limits below a path, as OpenAPI 3.1."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in (Predictions, ModelFacts, Health, ProblemDetails)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sightline",
            "version": version(),
            "description": "A trained image classifier.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/"}],
        "paths": {
            "/v1/predict": {"post": _predict(class_names, limits)},
            "/v1/model": {"get": _get("model", "The model, and the limits of the server.", _json("ModelFacts"))},
            "/health/live": {"get": _get("live", "Whether the process responds.", _json("Health"))},
            "/health/ready": {
                "get": _get("ready", "Whether the server is ready for requests.", _json("Health"), 500, 503)
            },
            "/metrics": {"get": _get("metrics", "Metrics for Prometheus.", {"text/plain": _text()})},
            "/openapi.json": {
                "get": _get("openapi", "This document.", {"application/json": {"schema": {"type": "object"}}})
            },
            "/": {"get": _get("page", "A web page to try the model.", {"text/html": _text()})},
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _predict(class_names: Sequence[str], limits: Limits) -> dict[str, Any]:
    encoded = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
    # An empty file among others is told beside their answers, so the schema allows it.
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_images}
    form = {"type": "object", "properties": {FIELD: files}, "required": [FIELD], "additionalProperties": False}
    text = {"type": "string", "minLength": 1, "description": "Base64, or a data URL with base64."}
    images = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.max_images}
    in_json = {"type": "object", "properties": {IMAGES: images}, "required": [IMAGES], "additionalProperties": False}
    return {
        "operationId": "predict",
        "summary": "Classify pictures.",
        "description": (
            "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC: one picture as the body itself, or one or more as files of "
            "a form, or in JSON as base64 or data URLs. The body may be compressed, with Content-Encoding: gzip. If "
            "some of several pictures cannot be read, the others still get predictions."
        ),
        "parameters": [
            _query("top", "Number of most probable classes to return; all by default.", 1, len(class_names)),
            _query("seen", "1 adds each picture as the network received it.", 0, 1),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": encoded,
                "image/*": encoded,
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": in_json},
            },
        },
        "responses": {
            "200": {"description": "The predictions.", "content": _json("Predictions")},
            **_refusals(*REFUSALS),
        },
    }


def _get(name: str, summary: str, content: dict[str, Any], *refusals: int) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, **_refusals(400, *refusals)},
    }


def _refusals(*statuses: int) -> dict[str, Any]:
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {
        str(status): {"description": REFUSALS[status], "content": problem, **(_retry() if status in RETRIED else {})}
        for status in dict.fromkeys(statuses)
    }


def _retry() -> dict[str, Any]:
    header = {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 0}}
    return {"headers": {"Retry-After": header}}


def _query(name: str, description: str, low: int, high: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}


def _text() -> dict[str, Any]:
    return {"schema": {"type": "string"}}
