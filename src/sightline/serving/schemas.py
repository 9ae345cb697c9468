"""What the server answers, as models: each answer is built from one, and the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sightline.serving.settings import Limits

Probability = Annotated[float, Field(ge=0, le=1)]


class Schema(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ProblemDetails(Schema):
    """Why a request was refused (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    """The status in words."""
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    """What is wrong, and what was expected."""
    incident: str | None = None
    """The incident number in the server's log; only with status 500."""


class ClassProbability(Schema):
    """A class with its probability."""

    name: str
    probability: Probability


class Answer(Schema):
    """The prediction for one picture."""

    name: str
    """The name of the file, or its number if it has none."""
    label: str
    """The most probable class; the first of equals."""
    probability: Probability
    classes: list[ClassProbability]
    """The most probable classes first; all of them unless `top` is given."""
    seen: str | None = None
    """With `seen=1`: the picture as the network received it, a PNG as a data URL."""


class Unreadable(Schema):
    """One of several pictures, which could not be read."""

    name: str
    error: ProblemDetails


class Predictions(Schema):
    """The predictions, in the order of the pictures."""

    predictions: list[Answer | Unreadable]
    milliseconds: Annotated[float, Field(ge=0)]
    """Time from the last byte of the body to the response."""


class ImageSize(Schema):
    """A picture's size, with its channels: 1 is gray, 3 is RGB."""

    height: int
    width: int
    channels: int


class ModelFacts(Schema):
    """The model, and the limits of the server."""

    version: str
    """Version of Sightline."""
    class_names: list[str]
    size: ImageSize
    """The network's input size; pictures of any size are resized to it."""
    preprocessing: dict[str, Any]
    temperature: float
    """Temperature of the softmax; 1 unless the model was calibrated."""
    model: dict[str, Any] | None
    """The network's settings, if they are known."""
    parameters: int | None
    """Number of trained parameters, if it is known."""
    max_batch: int
    limits: Limits


class Health(Schema):
    """The state of the server."""

    status: Literal["alive", "ready"]
