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
    """What was found and what was expected."""
    incident: str | None = None
    """Where to look in the server's log; with status 500 only."""


class ClassProbability(Schema):
    """A class with its probability."""

    name: str
    probability: Probability


class Answer(Schema):
    """One picture's answer."""

    name: str
    """The file's name where it had one, else its number."""
    label: str
    """The most probable class, of equals the first."""
    probability: Probability
    classes: list[ClassProbability]
    """The most probable classes first; all of them unless `top` is given."""
    seen: str | None = None
    """With `seen=1`: the picture as the network got it, a PNG as a data URL."""


class Unreadable(Schema):
    """A picture among several that could not be answered."""

    name: str
    error: ProblemDetails


class Predictions(Schema):
    """The answers, in the order of the pictures."""

    predictions: list[Answer | Unreadable]
    milliseconds: Annotated[float, Field(ge=0)]
    """From the body's last byte to the answer."""


class ImageSize(Schema):
    """A picture's size, with its channels: 1 is gray, 3 is RGB."""

    height: int
    width: int
    channels: int


class ModelFacts(Schema):
    """What is served, and what is accepted."""

    version: str
    """Of Sightline."""
    class_names: list[str]
    size: ImageSize
    """What the network takes; pictures of any size are brought to it."""
    preprocessing: dict[str, Any]
    temperature: float
    """What the network's outputs are divided by before they become probabilities; 1 unless it was calibrated."""
    model: dict[str, Any] | None
    """The network's settings, where they are known."""
    parameters: int | None
    """Numbers that were learned, where that is known."""
    max_batch: int
    limits: Limits


class Health(Schema):
    """How the server is."""

    status: Literal["alive", "ready"]
