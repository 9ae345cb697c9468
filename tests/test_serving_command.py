"""`sightline serve` as a program: its address, its signals, its refusals, and that it needs no torch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import requests

import sightline
from helpers.serving import check_problem, picture
from sightline.cli.app import run
from sightline.installation import install_command

# A model that needs neither torch nor ONNX Runtime, so that the program starts quickly.
PROGRAM = """
import sys
import sightline.classifier
from helpers.serving import Rule, classifier
class Slow(Rule):
    def probabilities(self, pixels):
        import time
        time.sleep(0.4)
        return super().probabilities(pixels)
sightline.classifier.load = lambda path, **_: classifier(Slow())
from sightline.cli.app import run
from sightline.cli.streams import prepare_streams
prepare_streams()
code = run(["serve", "model", *sys.argv[1:]])
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.fixture
def start(request):
    begun = []

    def begin(*flags):
        places = (request.path.parent, Path(sightline.__file__).parents[1])
        environment = {"PYTHONPATH": os.pathsep.join(map(str, places)), "PATH": "/usr/bin:/bin"}
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *flags, "--max-batch", "4"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        begun.append(program)
        return program

    yield begin
    for program in begun:
        program.kill()
        with program:  # closes what is open, and waits
            pass


def url_of(program):
    line = program.stdout.readline()
    assert line, program.stderr.read()
    return json.loads(line)["url"]


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_when_the_work_in_hand_is_done(start, sig, code):
    program = start("--port", "0", "--json", "--log")
    url = url_of(program)
    assert requests.get(f"{url}/health/live", timeout=20).ok
    host, port = url.removeprefix("http://").split(":")
    content = picture(255)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        while requests.get(f"{url}/metrics", timeout=20).text.count("sightline_calls_in_hand 1.0") == 0:
            pass
        program.send_signal(sig)
        assert b"200 OK" in connection.recv(65536)
    out, err = program.communicate(timeout=20)
    assert program.returncode == code
    assert out == ""
    assert "Traceback" not in err
    logged = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {"/health/live", "/v1/predict", "/metrics"} == {line["path"] for line in logged}
    assert ("error: serve: stopped by Ctrl-C" in err) == (sig == signal.SIGINT)


def test_it_serves_and_ends_where_nobody_reads_where_it_is(start):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = start("--port", str(port))
    program.stdout.close()
    while True:
        try:
            assert requests.get(f"http://127.0.0.1:{port}/health/live", timeout=20).ok
            break
        except requests.ConnectionError:
            assert program.poll() is None, program.stderr.read()
            time.sleep(0.05)
    time.sleep(0.2)  # by then it has tried to say so
    program.terminate()
    assert program.wait(20) == 0
    assert "Traceback" not in program.stderr.read()


def test_it_says_where_it_is(start):
    program = start("--port", "0")
    first = program.stdout.readline()
    url = first.split()[-1]
    assert url.startswith("http://127.0.0.1:")
    response = requests.get(f"{url}/v1/model", headers={"Host": "evil.example"}, timeout=20)
    check_problem(response.content, 400)


def test_a_taken_port_is_a_resource_error(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "no-such-model", "--port", str(port)]) == 6
    assert f"error: --port: {port} is taken by another program. Use another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "::"], "--allow-remote"),
        (["--port", "70000"], "0 to 65535"),
        (["--queue", "0"], "--queue: '0' found"),
        (["--max-body-mib", "much"], "--max-body-mib: 'much' found"),
        (["--allow-origin", "*"], "an origin such as"),
        (["--allow-origin", "https://a.example/page"], "an origin such as"),
        (["--host", "999.1.1.1"], "999.1.1.1 is not an address"),
        (["--host", "1.2.3.4.5", "--allow-remote"], "1.2.3.4.5 is not an address"),
        (["--host", "192.0.2.1", "--allow-remote"], "192.0.2.1 is not this machine's"),
        (["--allow-host", "pictures.example:80"], "a host name without a port"),
        (["--allow-host", "https://pictures.example"], "a host name without a port"),
        (["--root-path", "classify"], "a path such as /classify"),
        (["--root-path", "/a b"], "a path such as /classify"),
        (["--trust-proxy", "proxy.example"], "an address or network such as"),
        (["--threads", "0"], "--threads: '0' found"),
        (["--device", "abacus"], "--device: 'abacus' found"),
    ],
)
def test_wrong_flags_are_one_line(capsys, flags, said):
    assert run(["serve", "no-such-model", *(["--port", "0"] if "--port" not in flags else []), *flags]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_missing_model_is_told(capsys):
    assert run(["serve", "no-such-model", "--port", "0"]) == 4
    assert "no such run folder" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install():
    code = textwrap.dedent("""
        import sys
        sys.modules["starlette"] = None
        from sightline.cli.app import run
        sys.exit(run(["serve", "model", "--port", "0"]))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert install_command("serve") in done.stderr
