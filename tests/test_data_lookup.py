"""Where files come from, with a web server on the loopback as the mirrors."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sightline import data
from sightline.data import catalog, lookup, readers
from sightline.data.catalog import DATASETS, Source
from sightline.data.lookup import find_files, get_dataset, list_datasets
from sightline.errors import DataError, ResourceError, UsageError
from sightline.settings.data import DataSettings


class Quiet(SimpleHTTPRequestHandler):
    requested: list[str]

    def do_GET(self):
        self.requested.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path):
    """A server over a folder: (folder, address, paths asked for)."""
    folder = tmp_path / "web"
    folder.mkdir()
    requested: list[str] = []
    handler = type("Handler", (Quiet,), {"requested": requested})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/", requested
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def source_of(*mirrors, content=b"pixels"):
    return Source("things", {"a.gz": sha256(content)}, mirrors)


def dead_address():
    """An address at which nobody listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}/"


def test_download_into_the_cache_once(web, tmp_path, capfd):
    folder, address, requested = web
    (folder / "a.gz").write_bytes(b"pixels")
    for _ in range(2):
        paths = find_files(source_of(address), None)
        assert paths == {"a.gz": tmp_path / "cache" / "things" / "a.gz"}
        assert paths["a.gz"].read_bytes() == b"pixels"
    assert requested == ["/a.gz"]
    assert capfd.readouterr() == ("", "")


def test_the_next_mirror_is_tried(web, tmp_path):
    folder, address, requested = web
    (folder / "good").mkdir()
    (folder / "wrong").mkdir()
    (folder / "good" / "a.gz").write_bytes(b"pixels")
    (folder / "wrong" / "a.gz").write_bytes(b"a page that says sorry")
    source = source_of(dead_address(), f"{address}missing/", f"{address}wrong/", f"{address}good/")
    assert find_files(source, None)["a.gz"].read_bytes() == b"pixels"
    assert requested == ["/missing/a.gz", "/wrong/a.gz", "/good/a.gz"]


def test_wrong_hash_from_every_mirror_keeps_nothing(web, tmp_path):
    folder, address, _ = web
    (folder / "a.gz").write_bytes(b"other")
    with pytest.raises(DataError, match="another file, by its hash"):
        find_files(source_of(address), None)
    assert list((tmp_path / "cache" / "things").iterdir()) == []


def test_offline_says_what_is_wanted_and_where(tmp_path):
    source = Source("things", {"a.gz": sha256(b"1"), "b.gz": sha256(b"2")}, (dead_address(),))
    with pytest.raises(DataError) as caught:
        find_files(source, None)
    message = str(caught.value)
    for part in ("a.gz", "b.gz", sha256(b"1"), sha256(b"2"), str(tmp_path / "cache" / "things"), "data_dir"):
        assert part in message
    assert "\n" not in message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("below", ["", "things"])
def test_order_of_places(web, tmp_path, monkeypatch, below):
    _, address, requested = web
    named, variable, cache = tmp_path / "named", tmp_path / "variable", tmp_path / "cache"
    for place in (named, variable, cache):
        (place / below).mkdir(parents=True)
        (place / below / "a.gz").write_bytes(b"pixels")
    monkeypatch.setenv("SIGHTLINE_DATA", str(variable))
    source = source_of(address)
    for place in (named, variable, cache):
        assert find_files(source, str(named)) == {"a.gz": place / below / "a.gz"}
        (place / below / "a.gz").unlink()
    assert requested == []


def test_a_found_file_with_another_hash_is_named(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"other")
    with pytest.raises(DataError) as caught:
        find_files(source_of("http://127.0.0.1:9/"), str(tmp_path))
    for part in (str(path), sha256(b"other"), sha256(b"pixels")):
        assert part in str(caught.value)


def test_a_data_folder_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"^data_dir: "):
        find_files(source_of(), str(tmp_path / "no"))
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "no"))
    with pytest.raises(UsageError, match="SIGHTLINE_DATA"):
        find_files(source_of(), None)


def test_md5_is_understood(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"pixels")
    source = Source("things", {"a.gz": f"md5:{hashlib.md5(b'pixels').hexdigest()}"}, ())
    assert find_files(source, str(tmp_path))["a.gz"] == tmp_path / "a.gz"


def idx(values):
    return gzip.compress(struct.pack(f">{1 + values.ndim}I", 0x0800 | values.ndim, *values.shape) + values.tobytes())


def made_idx_files(seed):
    rng = np.random.default_rng(seed)
    files = {}
    for prefix, count in (("train", 30), ("t10k", 20)):
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx((np.arange(count) % 10).astype(np.uint8))
    return files


@pytest.fixture
def small_catalog(monkeypatch):
    """MNIST and Fashion-MNIST with files made here and no mirrors, as they are named alike: name -> file -> bytes."""
    made = {"mnist": made_idx_files(1), "fashion-mnist": made_idx_files(2)}
    changed = dict(DATASETS)
    for name, files in made.items():
        source = Source(name, {file: sha256(content) for file, content in files.items()}, ())
        changed[name] = dataclasses.replace(DATASETS[name], source=source)
    for module in (catalog, lookup, readers):
        monkeypatch.setattr(module, "DATASETS", changed)
    return made


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_two_datasets_with_files_of_the_same_names_are_told_apart(tmp_path, small_catalog):
    put(tmp_path / "here", small_catalog["mnist"])
    put(tmp_path / "cache" / "fashion-mnist", small_catalog["fashion-mnist"])
    mnist = data.load(DataSettings(name="mnist", data_dir=str(tmp_path / "here")))
    fashion = data.load(DataSettings(name="fashion-mnist", data_dir=str(tmp_path / "here")))
    assert (len(mnist.train), len(mnist.test)) == (30, 20)
    assert not np.array_equal(mnist.train.images(), fashion.train.images())
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in small_catalog["mnist"].items()}
    assert mnist.files == hashes


def test_status_tells_what_is_here(tmp_path, small_catalog):
    put(tmp_path / "here" / "mnist", small_catalog["mnist"])
    lines = {line.name: line for line in list_datasets(tmp_path / "here")}
    assert list(lines) == list(data.dataset_names())
    assert lines["mnist"].found == str(tmp_path / "here" / "mnist")
    assert lines["fashion-mnist"].found is None
    assert lines["digits"].found == "embedded"
    assert lines["synthetic"].found == "generated"
    assert (lines["cifar100"].classes, lines["cifar100"].size, lines["cifar100"].train) == (100, (32, 32, 3), 50_000)
    (tmp_path / "here" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert list_datasets(tmp_path / "here")[1].found is None


def test_get_dataset(tmp_path, small_catalog):
    put(tmp_path / "here", small_catalog["mnist"])
    assert set(get_dataset("mnist", tmp_path / "here")) == set(small_catalog["mnist"])
    assert get_dataset("digits") == {}
    with pytest.raises(UsageError, match="Did you mean fashion-mnist"):
        get_dataset("fashion")
    with pytest.raises(DataError, match="no mirror"):
        get_dataset("fashion-mnist")


def test_every_hash_in_the_catalog_is_one():
    for dataset in DATASETS.values():
        if dataset.source:
            assert dataset.source.mirrors
            assert all(mirror.endswith("/") for mirror in dataset.source.mirrors)
            for expected in dataset.source.files.values():
                algorithm, _, digest = expected.partition(":")
                assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


def test_a_cache_folder_that_cannot_be_written(web, tmp_path, monkeypatch):
    folder, address, _ = web
    (folder / "a.gz").write_bytes(b"pixels")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="a file is where"):
        find_files(source_of(address), None)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    import pooch

    monkeypatch.setattr(pooch, "retrieve", full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        find_files(source_of(address), None)
    assert caught.value.exit_code == 6
