"""The server's answers: pictures in, classes out, and what it tells of itself."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from helpers.serving import NAMES, Rule, by_hand, classifier, picture, problem, running
from sightline.data import heif
from sightline.errors import ResourceError
from sightline.serving import Limits, create_app
from sightline.serving.running import Server


@pytest.fixture(scope="module")
def served():
    with running() as server:
        yield server


def test_a_picture_gets_all_classes_with_the_likeliest_first(served):
    body = served.post(picture(200)).json()
    (answer,) = body["predictions"]
    expected = by_hand(np.full((1, 8, 8, 1), 200, np.uint8))[0]
    assert [c["name"] for c in answer["classes"]] == [NAMES[i] for i in np.argsort(-expected)]
    assert [c["probability"] for c in answer["classes"]] == pytest.approx(sorted(expected, reverse=True), abs=1e-7)
    assert answer["label"] == "light"
    assert answer["probability"] == answer["classes"][0]["probability"]
    assert answer["name"] == "image 0"
    assert "seen" not in answer
    assert body["milliseconds"] > 0


def test_top_names_so_many(served):
    assert [c["name"] for c in served.post(picture(0), "?top=2").json()["predictions"][0]["classes"]] == [
        "dark",
        "grey",
    ]


@pytest.mark.parametrize(
    "query", ["?top=0", "?top=4", "?top=-1", "?top=x", "?top=", "?top=1&top=2", "?seen=2", "?top=²"]
)
def test_a_wrong_query_is_refused(served, query):
    assert "whole number" in problem(served.post(picture(), query), 400)["detail"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read(served, kind):
    response = served.post(picture(255, kind=kind), headers={"Content-Type": f"image/{kind.lower()}"})
    assert response.json()["predictions"][0]["label"] == "light"


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "IMAGE/PNG", "image/png; charset=x"])
def test_a_pictures_type_may_be_said_loosely(served, kind):
    # requests would send no body's type of its own for bytes
    assert served.post(picture(0), headers={"Content-Type": kind} if kind else {}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "x"])
def test_another_type_is_415(served, kind):
    problem(served.post(picture(), headers={"Content-Type": kind}), 415)


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
def test_another_encoding_is_415(served, encoding):
    response = served.post(picture(), headers={"Content-Type": "image/png", "Content-Encoding": encoding})
    problem(response, 415)
    assert response.headers["Accept-Encoding"] == "gzip, identity"


def test_files_of_a_form_are_answered_in_order_with_their_names(served):
    files = [("file", (f"{level}.png", picture(level), "image/png")) for level in (255, 0, 128)]
    body = served.post(files=files).json()
    assert [(p["name"], p["label"]) for p in body["predictions"]] == [
        ("255.png", "light"),
        ("0.png", "dark"),
        ("128.png", "grey"),
    ]


def test_an_unreadable_file_is_told_beside_the_others(served):
    files = [("file", ("ok.png", picture(255))), ("file", ("not.png", b"nothing")), ("file", ("也.png", picture(0)))]
    first, second, third = served.post(files=files).json()["predictions"]
    assert first["label"] == "light"
    assert second["error"]["status"] == 422
    assert "not.png" in second["error"]["detail"]
    assert set(second) == {"name", "error"}
    assert (third["name"], third["label"]) == ("也.png", "dark")


def test_files_of_which_none_can_be_read_are_422(served):
    details = problem(served.post(files=[("file", ("a", b"x")), ("file", ("b", b"y"))]), 422)
    assert "none of the 2" in details["detail"]


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n", picture()[:45], b"<svg/>", b"\0" * 1000])
def test_what_is_no_whole_picture_is_422(served, content):
    problem(served.post(content), 422)


def test_heic_without_its_extra_is_told_without_the_servers_command(served, monkeypatch):
    monkeypatch.setattr(heif, "_registered", lambda: False)
    detail = problem(served.post(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), 422)["detail"]
    assert "it is HEIC, which this server cannot read. Send it as JPEG." in detail
    assert "pip" not in detail


def test_seen_is_what_the_network_got(served):
    big = np.zeros((16, 16), np.uint8)
    big[:, 8:] = 255
    stream = io.BytesIO()
    Image.fromarray(big).save(stream, "PNG")
    url = served.post(stream.getvalue(), "?seen=1").json()["predictions"][0]["seen"]
    assert url.startswith("data:image/png;base64,")
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    # Pillow itself, by its own way of saying it.
    expected = np.asarray(Image.fromarray(big).resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(seen, expected)


BOUNDARY = b"AaB03x"
FORM = b"--AaB03x\r\nContent-Disposition: form-data; name=%s\r\n\r\nx\r\n--AaB03x--\r\n"


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"", b"AaB03x"),
        (b"nothing of a form", b"AaB03x"),
        (b"--AaB03x--\r\n", b"AaB03x"),
        (FORM % b'"file"', b""),
        (FORM % b'"file"', b"other"),
        (FORM % b'"other"', b"AaB03x"),
        (FORM % b"", b"AaB03x"),
        ((FORM % b'"file"')[:-6], b"AaB03x"),
        ((FORM % b'"file"')[:30], b"AaB03x"),
        (b"--AaB03x\r\n\r\nx\r\n--AaB03x--\r\n", b"AaB03x"),
        (b"--AaB03x\r\n" + b"A: b\r\n" * 20 + b"\r\nx\r\n--AaB03x--\r\n", b"AaB03x"),
        (b"--AaB03x\r\nA: " + b"b" * 9000 + b"\r\n\r\nx\r\n--AaB03x--\r\n", b"AaB03x"),
        (FORM % b'"file"', b"b" * 300),
    ],
)
def test_a_damaged_form_is_400(served, body, boundary):
    kind = b"multipart/form-data" + (b"; boundary=" + boundary if boundary else b"")
    problem(served.post(body, headers={"Content-Type": kind}), 400)


def test_the_model_is_told(served):
    facts = served.get("/v1/model").json()
    assert facts["class_names"] == list(NAMES)
    assert facts["size"] == {"height": 8, "width": 8, "channels": 1}
    assert facts["preprocessing"]["fit"] == "squash"
    assert facts["max_batch"] == 8
    assert facts["limits"]["max_images"] == 16
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", facts["version"])


def test_parameters_are_counted_where_the_back_end_holds_a_module():
    rule = Rule()
    rule.module = SimpleNamespace(
        parameters=lambda: [SimpleNamespace(numel=lambda: 64 * 3), SimpleNamespace(numel=lambda: 3)]
    )
    with running(classifier(rule)) as server:
        assert server.get("/v1/model").json()["parameters"] == 195


def test_it_is_alive_and_ready(served):
    assert served.get("/health/live").json() == {"status": "alive"}
    assert served.get("/health/ready").json() == {"status": "ready"}


def test_ready_computes_and_tells_when_the_network_cannot():
    rule = Rule()
    with running(classifier(rule)) as server:
        before = len(rule.batches)
        assert server.get("/health/ready").ok
        assert len(rule.batches) == before + 1
        rule.value = float("nan")
        problem(server.get("/health/ready"), 503)
        assert server.get("/health/live").ok


def test_unknown_paths_and_methods(served):
    for path in ("/nothing", "/v1/predict/", "/page/../app.py", "/page/%2e%2e/app.py", "//", "/docs", "/redoc"):
        problem(served.get(path), 404)
    response = served.get("/v1/predict")
    problem(response, 405)
    assert response.headers["Allow"] == "POST"
    for path in ("/", "/v1/model", "/metrics", "/health/live"):
        response = requests.delete(served.url + path, timeout=20)
        problem(response, 405)
        assert "GET" in response.headers["Allow"]


def test_every_answer_has_the_security_headers(served):
    answers = [served.get(path) for path in ("/", "/v1/model", "/nothing", "/openapi.json", "/metrics")]
    answers += [served.post(picture()), served.post(b"x"), served.get("/", headers={"Host": "evil.example"})]
    for response in answers:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "camera=()" in response.headers["Permissions-Policy"]
        assert "server" not in response.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "x:y"])
def test_another_host_name_is_refused(served, host):
    problem(served.get("/v1/model", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8000"])
def test_names_of_this_machine_are_taken(served, host):
    assert served.get("/v1/model", headers={"Host": host}).ok


def test_no_origin_elsewhere_unless_named(served):
    origin = {"Origin": "https://page.example"}
    problem(served.post(picture(), headers=origin), 403)
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    problem(requests.options(f"{served.url}/v1/predict", headers=preflight, timeout=20), 405)
    with running(allow_origins=["https://page.example"]) as open_one:
        answer = open_one.post(picture(), headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert requests.options(f"{open_one.url}/v1/predict", headers=preflight, timeout=20).ok
        other = open_one.post(picture(), headers={"Origin": "https://other.example"})
        problem(other, 403)


def test_a_failure_has_an_incident_and_nothing_of_the_inside(caplog):
    rule = Rule()
    with running(classifier(rule)) as server:
        rule.error = RuntimeError("secret /path/to/model")
        response = server.post(picture())
        details = problem(response, 500)
        assert details["incident"] in details["detail"]
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        assert any(details["incident"] in record.getMessage() and record.exc_info for record in caplog.records)
        rule.error = ResourceError("inference", "memory ran out")
        assert problem(server.post(picture()), 503)["detail"].startswith("memory ran out")
        rule.error, rule.value = None, float("nan")
        problem(server.post(picture()), 500)
        rule.value = 1.0
        assert server.post(picture()).ok


def test_metrics_count_what_happened():
    with running() as server:
        for content in (picture(), picture(), b"x"):
            server.post(content)
        server.get("/nothing/1")
        server.get("/nothing/2")
        response = server.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["sightline_requests_total", "/v1/predict", "200"] == 2
    assert samples["sightline_requests_total", "/v1/predict", "422"] == 1
    assert samples["sightline_requests_total", "404", "other"] == 2
    assert samples["sightline_images_total", "answered"] == 2
    assert samples["sightline_images_total", "unreadable"] == 1
    assert samples["sightline_batch_images_count",] == 2
    assert samples["sightline_batch_images_sum",] == 2
    assert samples["sightline_request_seconds_count", "/v1/predict"] == 3
    assert samples["sightline_calls_in_hand",] == 0


def test_the_log_is_json_without_the_query():
    lines = []
    with running(log=lines.append) as server:
        server.post(picture(), "?top=1")
        server.get("/" + "x" * 1000)
    first, second = map(json.loads, lines)
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/predict", 200)
    assert first["milliseconds"] > 0
    assert second["status"] == 404
    assert len(second["path"]) == 200


def test_answers_under_load_are_those_of_the_classifier_alone():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, 100).tolist()
    rule = Rule()
    with running(classifier(rule), Limits(max_batch=8)) as server, requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))

        def ask(level):
            files = [("file", ("a.png", picture(level))), ("file", ("b.png", picture(255 - level)))]
            return session.post(f"{server.url}/v1/predict", files=files, timeout=20).json()["predictions"]

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, levels))
    pixels = np.array([[level, 255 - level] for level in levels], np.uint8).reshape(-1, 1, 1, 1)
    expected = by_hand(np.broadcast_to(pixels, (len(pixels), 8, 8, 1))).reshape(100, 2, 3)
    for pair, rows in zip(answers, expected, strict=True):
        for answer, row in zip(pair, rows, strict=True):
            found = {c["name"]: c["probability"] for c in answer["classes"]}
            assert [found[name] for name in NAMES] == pytest.approx(row, abs=1e-6)
    assert max(rule.batches) > 2  # or nothing was put together
    assert max(rule.batches) <= 8


def test_the_application_alone_is_a_plain_asgi_one():
    """Another server may run it: without uvicorn, and where nobody tells it to start."""

    async def call(app):
        sent = []
        messages = [{"type": "http.request", "body": picture(0), "more_body": False}]

        async def receive():
            return messages.pop()

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"image/png"), (b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": headers}
        await app(scope, receive, send)
        await asyncio.to_thread(app.engine.stop)
        return sent

    app = create_app(classifier(), Limits(max_batch=2))
    start, body = asyncio.run(call(app))
    assert start["status"] == 200
    assert b'"label":"dark"' in body["body"]
    assert not isinstance(app, Server)
