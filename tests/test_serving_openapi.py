"""The OpenAPI document: what it says, and whether the server keeps to it, by schemathesis where that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.serving import NAMES, classifier, picture, running
from sightline.serving import Limits

# In an environment of its own, since its pytest plugin would be loaded with every test here.
SCHEMATHESIS = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")


@pytest.fixture(scope="module")
def served():
    with running(limits=Limits(max_batch=8, max_images=5)) as server:
        yield server


@pytest.fixture(scope="module")
def document(served):
    return served.get("/openapi.json").json()


def test_every_path_is_described(served, document):
    assert document["openapi"].startswith("3.1")
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert described == {
        ("/v1/predict", "POST"),
        ("/v1/model", "GET"),
        ("/health/live", "GET"),
        ("/health/ready", "GET"),
        ("/metrics", "GET"),
        ("/openapi.json", "GET"),
        ("/", "GET"),
    }


def test_the_limits_are_this_servers(document):
    operation = document["paths"]["/v1/predict"]["post"]
    top = next(parameter for parameter in operation["parameters"] if parameter["name"] == "top")
    assert top["schema"]["maximum"] == len(NAMES)
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["maxItems"] == 5
    assert set(operation["responses"]) == {"200", "400", "403", "408", "413", "415", "422", "429", "500", "503"}
    for status in ("429", "503"):
        assert operation["responses"][status]["headers"]["Retry-After"]["required"]


def test_every_reference_leads_somewhere(document):
    def references(part):
        if isinstance(part, dict):
            yield from ([part["$ref"]] if "$ref" in part else [])
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                yield from references(each)

    found = set(references(document))
    assert found
    assert {name.removeprefix("#/components/schemas/") for name in found} <= set(document["components"]["schemas"])


def test_answers_have_just_the_described_members(served, document):
    schemas = document["components"]["schemas"]
    answers = {
        "Predictions": served.post(picture(), "?seen=1").json(),
        "Answer": served.post(picture(), "?seen=1").json()["predictions"][0],
        "ModelFacts": served.get("/v1/model").json(),
        "Health": served.get("/health/live").json(),
        "ProblemDetails": served.get("/nothing").json(),
    }
    for name, answer in answers.items():
        assert schemas[name]["additionalProperties"] is False
        assert set(schemas[name]["required"]) <= set(answer) <= set(schemas[name]["properties"]), name


@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed; SCHEMATHESIS may name its program")
def test_schemathesis_finds_nothing(tmp_path):
    with running(classifier(), Limits(max_batch=8)) as server:
        done = subprocess.run(
            [SCHEMATHESIS, "run", f"{server.url}/openapi.json", "--max-examples", "25", "--seed", "1", "--no-color"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parent),
                "SCHEMATHESIS_HOOKS": "helpers.schemathesis_hooks",
            },
            check=False,
        )
    assert done.returncode == 0, done.stdout[:6000] + done.stderr[-1000:]
