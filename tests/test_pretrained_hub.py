"""Weights by name, downloaded once from a hub, which is a server of the test's own here."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from helpers.layouts import (
    BLOCKS,
    build,
    preset,
    refused,
    resnet_layout,
    state_dict,
)
from sightline.errors import FileError, ResourceError, UsageError
from sightline.installation import install_command
from sightline.models.pretrained import hub, load_pretrained


@pytest.fixture
def hf(tmp_path, monkeypatch):
    """huggingface_hub with a cache of its own and an address at which nobody listens."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def use(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )

    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    use(f"http://127.0.0.1:{server.server_port}")
    return use


@pytest.fixture
def hub_server(hf):
    """A hub on the loopback: (files by path, requests as (method, path, headers))."""
    files, requests = {}, []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append((self.command, self.path, dict(self.headers)))
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            if content is not None:
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hf(f"http://127.0.0.1:{server.server_port}")
    yield files, requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_imagenet_takes_timms_copy_of_torchvisions(tmp_path, monkeypatch):
    tensors = state_dict(resnet_layout(BLOCKS[18]))
    save_file(tensors, tmp_path / "model.safetensors")
    asked = []
    monkeypatch.setattr(
        hub, "download", lambda repository, *_: asked.append(repository) or tmp_path / "model.safetensors"
    )
    settings = preset("resnet18", zero_residual=True, stem="auto", init="glorot")
    network = build(settings, channels=1)
    report = load_pretrained(network, settings, "imagenet")
    assert asked == ["timm/resnet18.tv_in1k"]
    assert (report.source, report.file) == ("imagenet", "timm/resnet18.tv_in1k")
    assert torch.equal(network.state_dict()["body.stem.norm.bias"], tensors["bn1.bias"])
    assert report.line().startswith("weights from timm/resnet18.tv_in1k (sha256 ")


@pytest.mark.parametrize("depth", BLOCKS)
def test_each_depth_has_its_repository(depth):
    assert hub.repository(f"resnet{depth}", "") == f"timm/resnet{depth}.tv_in1k"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("resnet18", {"stem": "small"}),
        ("resnet18", {"stage_widths": (32, 64, 128, 256)}),
        ("resnet18v2", {}),
        ("resnet20", {}),
        ("alexnet-small", {}),
        ("googlenet-bn", {}),
        ("cnn", {}),
    ],
)
def test_networks_without_weights_by_name(name, changes, monkeypatch):
    monkeypatch.setattr(hub, "download", pytest.fail)
    settings = preset(name, **changes)
    line = refused(build(settings), settings, "imagenet")
    assert line.startswith('pretrained="imagenet": there are no weights by this name for ')
    assert "expected one of resnet18, resnet34, resnet50, resnet101, resnet152" in line
    assert "torchvision's .pth file" in line


def test_download_once_and_nothing_but_the_file(hub_server, capfd, monkeypatch):
    files, requests = hub_server
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = "/timm/tiny.tv_in1k/resolve/main/model.safetensors"
    files[path] = b"weights" * 1000
    found = hub.download("timm/tiny.tv_in1k")
    assert found.read_bytes() == files[path]
    assert {asked for _, asked, _ in requests} == {path}
    assert [method for method, _, _ in requests].count("GET") == 1
    for _, _, headers in requests:
        assert not any(name.lower() == "authorization" for name in headers)
        assert "torch" not in str(headers)
    requests.clear()
    assert hub.download("timm/tiny.tv_in1k") == found
    assert requests == []
    assert capfd.readouterr() == ("", "")


def test_the_hub_lacks_the_file(hub_server):
    with pytest.raises(FileError, match=r"timm/none is not here and cannot be downloaded \(HTTP 404\)"):
        hub.download("timm/none")


def test_unreachable_is_one_line_at_once(hf, capfd):
    settings = preset("resnet18")
    line = refused(build(settings), settings, "imagenet")
    assert line.startswith('pretrained="imagenet": timm/resnet18.tv_in1k is not here and cannot be downloaded (Connect')
    assert "give pretrained a copy of http://127.0.0.1:" in line
    assert line.endswith("/timm/resnet18.tv_in1k/resolve/main/model.safetensors, about 47 MB.")
    assert capfd.readouterr() == ("", "")


def test_offline_by_choice(hf, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match=r"cannot be downloaded \(OfflineModeIsEnabled\)\. Connect"):
        hub.download("timm/resnet18.tv_in1k")


def test_no_place_for_the_file(hub_server, tmp_path):
    files, _ = hub_server
    files["/timm/tiny/resolve/main/model.safetensors"] = b"weights"
    (tmp_path / "hub").write_text("a file where the cache must be")
    with pytest.raises(ResourceError, match="a file is where a folder must be"):
        hub.download("timm/tiny")


def test_the_library_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UsageError,
        match=rf"not installed\. Run {re.escape(install_command('pretrained'))} to install it, or give a file",
    ):
        hub.download("timm/resnet18.tv_in1k")


def test_the_librarys_own_settings_are_left_as_they_were(hf):
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    before = constants.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity()
    with pytest.raises(FileError):
        hub.download("timm/resnet18.tv_in1k")
    assert (constants.HF_HUB_DISABLE_TELEMETRY, logging.get_verbosity()) == before
