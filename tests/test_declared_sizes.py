"""What a file says of its size is held against what it is, before memory is taken; and what is no file is refused."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import yaml

import sightline as sl
from helpers.bombs import npz_bomb
from helpers.training import small
from sightline.classifier import model_file
from sightline.data.decoder import decode_raw
from sightline.errors import DataError, FileError, SightlineError
from sightline.files import arrays
from sightline.files.reading import parse_json, parse_yaml
from sightline.files.sums import SUM_KEY

QUICK, MEMORY = 4.0, 200 << 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small(tmp_path_factory.mktemp("runs"), epochs=1).run


def packed(run, change):
    """The run's model file with another header: `change` gets what JSON says."""
    tensors, metadata = model_file.unpack(run / "weights" / "best.safetensors")
    content = json.loads(metadata["sightline"])
    change(content)
    return model_file.pack(tensors, {"sightline": json.dumps(content)})


def refused(path, said):
    begun = time.perf_counter()
    with pytest.raises(FileError, match=said) as caught:
        sl.load(path)
    assert time.perf_counter() - begun < QUICK
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("sides", [(30_000, 30_000), (10**30, 8), (8, 10**19), (None, 8)])
def test_a_model_file_of_huge_pictures_is_refused(run, tmp_path, sides):
    path = tmp_path / "model.safetensors"
    content = packed(run, lambda content: content["preprocessing"].update(height=7777, width=sides[1]))
    height = "9" * 5000 if sides[0] is None else str(sides[0])
    changed = content.replace(b'height\\": 7777', b'height\\": ' + height.encode())
    changed = changed.replace(SUM_KEY.encode(), SUM_KEY[::-1].encode())
    length = int.from_bytes(content[:8], "little") + len(changed) - len(content)
    path.write_bytes(length.to_bytes(8, "little") + changed[8:])
    refused(path, r"it takes images of|header is damaged")


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 10**9])
def test_a_header_that_is_longer_than_its_file_is_refused(tmp_path, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
    refused(path, "truncated or damaged")


def test_tensors_that_are_larger_than_their_file_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for end in (16, 4 * 30_000**2):
        head = json.dumps({"w": {"dtype": "F32", "shape": [30_000, 30_000], "data_offsets": [0, end]}}).encode()
        path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(16))
        refused(path, "truncated or damaged")


def test_class_names_that_are_there_twice_are_refused(run, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(run, lambda content: content.update(class_names=["a", "b", "a"])))
    refused(path, "the class 'a' twice")
    path.write_bytes(packed(run, lambda content: content.update(class_names=["a", "b", "A"])))
    assert sl.load(path).class_names == ("a", "b", "A")


def test_an_npz_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path):
    path = npz_bomb(tmp_path / "bomb.npz", (3 << 18, 1 << 6))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FileError, match="would take 201,3"):
        arrays.load(path, ("probabilities",), "predictions")
    whole = tmp_path / "whole.npz"
    values = np.random.default_rng(1).random((1000, 100), np.float32)
    arrays.save(whole, probabilities=values, none=np.zeros((1 << 20, 8)))  # 64 MB of nothing among them
    assert np.array_equal(arrays.load(whole, ("probabilities",), "predictions")["probabilities"], values)


def test_an_npz_whose_array_says_it_is_larger_than_its_member_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", 118)
    head += b"{'descr': '<f4', 'fortran_order': False, 'shape': (30000, 30000), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", head + bytes(100))
    with pytest.raises(FileError, match="damaged"):
        arrays.load(path, ("probabilities",), "predictions")


NO_FILES = ["fifo", "/dev/zero", "link to /dev/zero"]


@pytest.fixture(params=NO_FILES)
def no_file(request, tmp_path):
    """A path with any suffix that is no file."""

    def make(suffix):
        path = tmp_path / f"odd{suffix}"
        if request.param == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return path

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    return make


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        (".safetensors", sl.load),
        (".onnx", sl.load),
        (".csv", lambda path: sl.check(path, quiet=True)),
        (".jsonl", lambda path: sl.check(path, quiet=True)),
        (".zip", lambda path: sl.check(path, quiet=True)),
        (".yaml", lambda path: sl.train("digits", recipe=str(path))),
        (".safetensors", lambda path: sl.train("digits", model="cnn", pretrained=str(path), quiet=True)),
        (".npz", lambda path: arrays.load(path, ("a",), "arrays")),
        (".png", decode_raw),
    ],
)
def test_what_is_no_file_is_refused_and_not_read_for_ever(no_file, suffix, read):
    path = no_file(suffix)
    begun = time.perf_counter()
    with pytest.raises(SightlineError, match=r"odd") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - begun < 3 * QUICK


def test_files_of_a_run_that_are_no_files_are_named(run, no_file, tmp_path):
    folder = tmp_path / "runs" / "odd-001"
    folder.mkdir(parents=True)
    for name in ("settings.yaml", "results.csv"):
        folder.joinpath(name).write_bytes((run / name).read_bytes())
    no_file(".csv").rename(folder / "results.csv")
    found = sl.list_runs(folder.parent)
    assert not found.runs and "not a file" in found.left_out[folder]


def test_memory_is_not_taken_before_it_is_checked(tmp_path):
    """In a process of its own, whose peak can be told."""
    npz_bomb(tmp_path / "bomb.npz", (3 << 20, 1 << 8))
    program = f"""
import resource
from pathlib import Path
from sightline.errors import FileError
from sightline.files import arrays
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    arrays.load(Path({str(tmp_path / "bomb.npz")!r}), ("probabilities",), "predictions")
except FileError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < MEMORY


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 200 + "]" * 200,
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "g: [*f,*f,*f,*f,*f,*f,*f,*f]",
        "&a [*a]",
        "a: " + "9" * 5000,
        "a: 0x" + "f" * 5000,
        "a: 9999-99-99",
        "? {a: b}\n: c",
        "a: !!python/object:os.system x",
        "a: b: c",
        "\0",
    ],
)
def test_yaml_beyond_reason_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


def test_yaml_within_reason_is_read_as_the_library_reads_it():
    text = "a: [1, 2.5, null, x]\nb: &b {c: 0x1f, d: 2024-01-31}\ne: *b\nf: 1234567890123456789\n"
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": ' + "9" * 30 + "}", "{", "", "nul", "\ud800"])
def test_json_beyond_reason_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    assert parse_json('{"a": [1, -2.5e3, 18446744073709551615]}') == {"a": [1, -2500.0, 2**64 - 1]}


def test_label_files_beyond_reason_are_named_with_their_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    for line in ("[" * 100_000, '{"image": ' + "9" * 6000 + "}"):
        path.write_text('{"image": "a.png", "label": "x"}\n' + line)
        with pytest.raises(DataError, match="line 2"):
            sl.check(path, quiet=True)
