"""The application: its routes, and what it holds while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sightline.classifier import Classifier
from sightline.data.decoder import Pixels
from sightline.errors import ResourceError
from sightline.installation import version
from sightline.serving.access import LOCAL_HOSTS, Access
from sightline.serving.batching import Engine, Rows, best_batch
from sightline.serving.body import Arrivals, Gone, Picture, parser_of, read_body, unpacker_of
from sightline.serving.decoders import STUCK_SECONDS, Decoders
from sightline.serving.gate import Gate
from sightline.serving.metrics import Metrics
from sightline.serving.openapi import document
from sightline.serving.page import page_routes
from sightline.serving.pictures import data_url, prepare
from sightline.serving.problems import Problem, answer_failure, answer_http, answer_problem
from sightline.serving.schemas import Answer, ClassProbability, Health, ImageSize, ModelFacts, Predictions, Unreadable
from sightline.serving.settings import Limits

# A picture this small is decoded at once, instead of waking another thread for it.
SMALL_BYTES, SMALL_PIXELS = 16 * 1024, 128 * 128


class App:
    """An ASGI application around a Classifier. Made by `create_app`."""

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self.classifier, self.limits = classifier, limits
        self.in_hand = 0
        self.draining = False
        self.metrics = Metrics(lambda: self.in_hand)
        self.max_batch = limits.max_batch or best_batch(classifier)
        self.engine = Engine(classifier, self.max_batch, self.metrics.batch)
        self._arrivals = Arrivals(limit=limits.queue * limits.max_body_bytes)
        self._decoders = Decoders(limits.decode_threads)
        self._facts = self._model_facts().model_dump_json().encode()
        self._dry: asyncio.Task[Rows] | None = None
        self.stack: Gate | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        assert self.stack is not None
        await self.stack(scope, receive, send)

    def drain(self) -> None:
        """Take no new work: from now on it is not ready, and what is in hand is finished."""
        self.draining = True

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Hold the engine from start to end."""
        self.engine.start()
        yield
        self.drain()
        await asyncio.to_thread(self.engine.stop)
        self._decoders.stop()

    async def predict(self, request: Request) -> Response:
        """Answer for the pictures of a call."""
        self._admit()
        top = _number(request, "top", 1, len(self.classifier.class_names))
        seen = _number(request, "seen", 0, 1) == 1
        take_apart = parser_of(request.headers.get("content-type", ""))
        unpack = unpacker_of(request.headers.get("content-encoding", ""), self.limits)
        declared = request.headers.get("content-length")
        try:
            body = await read_body(request.receive, declared, self.limits, self._arrivals, unpack)
        except Gone:
            return Response(status_code=400)  # nobody is there to read it
        start = time.perf_counter()
        self._admit()
        self.in_hand += 1
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                pictures = take_apart(body, self.limits)
                del body
                predictions = await self._answers(pictures, top, seen)
        except TimeoutError:
            raise Problem(503, f"no answer within {self.limits.answer_seconds:g} seconds; try again later") from None
        except ResourceError as error:
            raise Problem(503, f"{error.found}; try again with fewer pictures at once") from error
        finally:
            self.in_hand -= 1
        milliseconds = round((time.perf_counter() - start) * 1000, 3)
        answer = Predictions(predictions=predictions, milliseconds=milliseconds)
        return _json(answer.model_dump_json(exclude_none=True).encode())

    def _admit(self) -> None:
        if self.draining:
            raise Problem(503, "the server is shutting down")
        if self.in_hand >= self.limits.queue:
            raise Problem(429, f"{self.in_hand} calls are in progress already; try again later")

    async def _answers(self, pictures: Sequence[Picture], top: int | None, seen: bool) -> list[Answer | Unreadable]:
        """Decode side by side, compute together, and put the answers into the pictures' order."""
        if len(pictures) == 1:  # most calls; a task of its own would take longer than a small picture
            prepared = [await self._prepared(pictures[0])]
        else:
            prepared = await asyncio.gather(*(self._prepared(picture) for picture in pictures))
        good = [pixels for pixels in prepared if not isinstance(pixels, Problem)]
        self.metrics.images(len(good), len(prepared) - len(good))
        if not good:
            raise _all_refused([problem for problem in prepared if isinstance(problem, Problem)])
        rows = iter(await self.engine.probabilities(np.stack(good)))
        answers: list[Answer | Unreadable] = []
        for picture, pixels in zip(pictures, prepared, strict=True):
            if isinstance(pixels, Problem):
                answers.append(Unreadable(name=picture.name, error=pixels.details()))
            else:
                answers.append(self._answer(picture.name, next(rows), top, data_url(pixels) if seen else None))
        return answers

    async def _prepared(self, picture: Picture) -> Pixels | Problem:
        preprocessing, most = self.classifier.preprocessing, self.limits.max_pixels
        if len(picture.content) <= SMALL_BYTES and most > SMALL_PIXELS:
            try:
                return prepare(picture, preprocessing, SMALL_PIXELS)
            except Problem as problem:
                if problem.status != 413:
                    return problem
        try:
            return await self._decoders.run(partial(prepare, picture, preprocessing, most))
        except Problem as problem:
            return problem

    def _answer(
        self, name: str, row: np.ndarray[Any, np.dtype[np.float32]], top: int | None, seen: str | None
    ) -> Answer:
        names = self.classifier.class_names
        if not np.isfinite(row).all():
            raise ValueError("the network gave a probability that is no number")
        order = np.argsort(-row, kind="stable")[:top].tolist()
        values = np.clip(row, 0, 1).tolist()
        classes = [ClassProbability(name=names[index], probability=values[index]) for index in order]
        best = classes[0]
        return Answer(name=name, label=best.name, probability=best.probability, classes=classes, seen=seen)

    async def model(self, _request: Request) -> Response:
        """Tell what is served."""
        return _json(self._facts)

    async def live(self, _request: Request) -> Response:
        """Tell that the process answers."""
        return _json(Health(status="alive").model_dump_json().encode())

    async def ready(self, _request: Request) -> Response:
        """Tell whether calls can come: a decoder is free, and the network answers a black picture in time."""
        if self.draining:
            raise Problem(503, "the server is shutting down")
        if self._decoders.stuck():
            raise Problem(503, f"every decoder has been at one picture for more than {STUCK_SECONDS:g} seconds")
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                rows = await asyncio.shield(self._dry_inference())
        except TimeoutError:
            raise Problem(503, f"the network did not answer within {self.limits.answer_seconds:g} seconds") from None
        if not np.isfinite(rows).all():
            raise Problem(503, "the network gave a probability that is no number")
        return _json(Health(status="ready").model_dump_json().encode())

    def _dry_inference(self) -> asyncio.Task[Rows]:
        """Give the one that is pending, whoever began it, so that probes do not fill the engine's queue."""
        loop = asyncio.get_running_loop()
        if self._dry is None or self._dry.done() or self._dry.get_loop() is not loop:
            black = np.zeros((1, *self.classifier.size), np.uint8)
            self._dry = loop.create_task(self.engine.probabilities(black))
        return self._dry

    async def figures(self, _request: Request) -> Response:
        """Give what was counted."""
        return Response(self.metrics.text(), headers={"Content-Type": self.metrics.media_type})

    def _model_facts(self) -> ModelFacts:
        classifier = self.classifier
        height, width, channels = classifier.size
        return ModelFacts(
            version=version(),
            class_names=list(classifier.class_names),
            size=ImageSize(height=height, width=width, channels=channels),
            preprocessing=classifier.preprocessing.model_dump(mode="json"),
            temperature=classifier.temperature,
            model=classifier.model.model_dump(mode="json") if classifier.model else None,
            parameters=_parameters(classifier),
            max_batch=self.max_batch,
            limits=self.limits,
        )


def create_app(
    classifier: Classifier,
    limits: Limits | None = None,
    *,
    hosts: Sequence[str] | None = tuple(LOCAL_HOSTS),
    allow_origins: Sequence[str] = (),
    root_path: str = "",
    log: Callable[[str], object] | None = None,
) -> App:
    """Make the ASGI application that serves a Classifier.

    `hosts`: what the header Host may say; None takes every name, for a server that others reach by names of its own.
    `allow_origins`: origins of pages elsewhere that may call it. `root_path`: the path below which a proxy shows it,
    such as "/classify", whether or not the proxy takes it off. `log` gets a line of JSON for each request.
    """
    app = App(classifier, limits or Limits())
    description = document(list(classifier.class_names), app.limits, root_path)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(description)

    routes = [
        Route("/v1/predict", app.predict, methods=["POST"]),
        Route("/v1/model", app.model),
        Route("/health/live", app.live),
        Route("/health/ready", app.ready),
        Route("/metrics", app.figures),
        Route("/openapi.json", openapi),
        *page_routes(),
    ]
    cors = Middleware(
        CORSMiddleware, allow_origins=list(allow_origins), allow_methods=["GET", "POST"], allow_headers=["Content-Type"]
    )
    starlette = Starlette(
        routes=routes,
        middleware=[cors] if allow_origins else [],
        exception_handlers={Problem: answer_problem, HTTPException: answer_http, Exception: answer_failure},
        lifespan=app.lifespan,
    )
    starlette.router.redirect_slashes = False
    paths = {route.path for route in routes}
    access = Access(hosts, allow_origins, root_path)
    app.stack = Gate(starlette, app.metrics, access=access, routes=paths, log=log)
    return app


def _number(request: Request, name: str, low: int, high: int) -> int | None:
    values = request.query_params.getlist(name)
    if not values:
        return None
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise Problem(400, f"the query's {name} should be one whole number from {low} to {high}")
    return int(text)


def _all_refused(problems: Sequence[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1:
        return first
    return Problem(first.status, f"none of the {len(problems)} pictures can be read; the first: {first.detail}")


def _parameters(classifier: Classifier) -> int | None:
    """Count what was learned, for back ends that hold a torch module."""
    module: Any = getattr(classifier.backend, "module", None)
    return None if module is None else sum(tensor.numel() for tensor in module.parameters())


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
