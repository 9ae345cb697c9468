"""Behind a proxy: below a path of its own, by another name, with the client's address; and what other pages may do."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import pytest
import requests

from helpers.browser import chromium, visits
from helpers.serving import picture, problem, running

BELOW = "/tools/classify"


@contextlib.contextmanager
def proxy(upstream, *, strips=True):
    """A proxy of the standard library's that shows a server below a path, and nothing at its own root."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self):
            if not self.path.startswith(BELOW):
                self.send_error(404)
                return
            place = self.path.removeprefix(BELOW) if strips else self.path
            length = int(self.headers.get("content-length", 0))
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            asked = urllib.request.Request(
                upstream + place, self.rfile.read(length) if length else None, kept, method=self.command
            )
            try:
                answer = urllib.request.urlopen(asked, timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            content = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Security-Policy", "Location"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = pass_on

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{BELOW}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served():
    with running() as server:
        yield server


def addresses(text):
    return re.findall(r'(?:src|href)="([^"]+)"', text) + re.findall(r'from "([^"]+)"', text)


def test_every_address_of_the_page_leads_somewhere_below_the_path(served):
    with proxy(served.url) as place:
        found, left = set(), [place]
        while left:
            url = left.pop()
            answer = requests.get(url, timeout=20)
            assert answer.ok, url
            found.add(url)
            if "html" in answer.headers["Content-Type"] or "javascript" in answer.headers["Content-Type"]:
                left += {urljoin(url, address) for address in addresses(answer.text)} - found - {*left}
        assert {f"{place}page/server.js", f"{place}openapi.json", f"{place}page/style.css"} <= found


def test_the_page_works_below_the_path(served, tmp_path):
    (tmp_path / "white.png").write_bytes(picture(255))
    with proxy(served.url) as place, chromium() as browser, visits(browser) as visit:
        page = visit(place)
        page.set_input_files("#files", [tmp_path / "white.png"])
        page.wait_for_selector(".card")
        assert page.locator(".best").inner_text().startswith("light")


def test_a_root_path_is_taken_off_where_the_proxy_leaves_it():
    with running(root_path=BELOW) as server:
        for path in ("", BELOW):
            assert server.get(f"{path}/v1/model").ok
            assert "Sightline" in server.get(f"{path}/").text
        assert server.get("/openapi.json").json()["servers"] == [{"url": BELOW}]
        problem(server.get(f"{BELOW}er/v1/model"), 404)
        without_slash = server.get(BELOW, allow_redirects=False)
        assert without_slash.status_code == 308
        assert urljoin(f"http://outside/x{BELOW}", without_slash.headers["Location"]) == f"http://outside/x{BELOW}/"
        text = server.get("/metrics").text
        assert 'sightline_requests_total{route="/v1/model",status="200"} 2.0' in text
        with proxy(server.url, strips=False) as place:
            assert requests.get(f"{place}v1/model", timeout=20).ok


def test_a_name_can_be_allowed():
    from sightline.serving.access import hosts_of

    with running(hosts=hosts_of("127.0.0.1", ["pictures.example.org"])) as server:
        for host in ("pictures.example.org", "PICTURES.example.org:8443", "localhost"):
            assert server.get("/v1/model", headers={"Host": host}).ok
        problem(server.get("/v1/model", headers={"Host": "example.org"}), 400)
    assert hosts_of("0.0.0.0") is None
    assert "pictures.example.org" in hosts_of("0.0.0.0", ["pictures.example.org"])
    assert "evil.example" not in hosts_of("0.0.0.0", ["pictures.example.org"])


@pytest.mark.parametrize(("trusted", "client"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")])
def test_the_clients_address_is_believed_of_a_trusted_proxy_alone(trusted, client):
    lines = []
    with running(log=lines.append, trust_proxies=trusted) as server:
        assert server.get("/health/live", headers={"X-Forwarded-For": "203.0.113.9"}).ok
    assert json.loads(lines[0])["client"] == client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
        # The server's own page behind a proxy that changes Host.
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://pictures.example.org"}, 200),
    ],
)
def test_a_page_elsewhere_makes_nothing_computed(headers, status):
    with running() as server:
        calls = server.app.classifier.backend.calls
        answer = server.post(picture(), headers={"Content-Type": "image/png", **headers})
        assert answer.status_code == status
        if status == 403:
            assert "--allow-origin" in problem(answer, 403)["detail"]
            assert server.app.classifier.backend.calls == calls
        assert server.get("/", headers=headers).ok


def test_the_servers_own_page_is_known_by_its_origin():
    from sightline.serving.access import hosts_of

    with running(hosts=hosts_of("127.0.0.1", ["pictures.example.org"]), allow_origins=["https://a.example"]) as server:
        for origin in (server.url, "https://pictures.example.org", "https://a.example"):
            assert server.post(picture(), headers={"Content-Type": "image/png", "Origin": origin}).ok
        fetched = {"Content-Type": "image/png", "Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}
        assert server.post(picture(), headers=fetched).ok
