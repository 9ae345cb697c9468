"""The sums of files: what changes after it was written is noticed, wherever a process is killed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors import safe_open

import sightline as sl
from helpers.sums import flipped, random_bits
from helpers.training import small
from sightline.classifier import model_file
from sightline.files import atomic, sums
from sightline.runs.folder import RunFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("runs"), epochs=2).run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sums.new_folder(tmp_path, "thing", "run")


def states(folder: Path) -> dict[str, str]:
    (found,) = sl.verify(folder).folders
    return dict(found.files)


# The list


def test_files_are_listed_once_they_are_whole(folder: Path) -> None:
    with sums.rewriting(folder, "a.json", "below/*"):
        atomic.write_text(folder / "a.json", "first")
        atomic.write_text(folder / "below" / "b", "second")
        (folder / "mine.txt").write_text("a note")
        assert states(folder) == dict.fromkeys(("a.json", "below/b", "mine.txt"), "not listed")
    assert states(folder) == {"a.json": "ok", "below/b": "ok", "mine.txt": "not listed"}
    listed = json.loads((folder / "sums.json").read_text())["files"]
    assert listed["a.json"] == hashlib.sha256(b"first").hexdigest()
    (folder / "a.json").write_text("other")
    (folder / "below" / "b").unlink()
    assert states(folder) == {"a.json": "changed", "below/b": "missing", "mine.txt": "not listed"}
    assert sl.verify(folder).damaged == [folder / "a.json", folder / "below" / "b"]
    with sums.rewriting(folder, "a.json", "below/b"):
        (folder / "a.json").unlink()
    assert states(folder) == {"mine.txt": "not listed"}


def test_damage_to_what_is_not_written_anew_stays_damage(folder: Path) -> None:
    with sums.rewriting(folder, "*"):
        atomic.write_text(folder / "a", "one")
        atomic.write_text(folder / "b", "two")
    (folder / "a").write_text("onE")
    with pytest.raises(ValueError, match="stopped"), sums.rewriting(folder, "*"):
        atomic.write_text(folder / "b", "three")
        raise ValueError("stopped")
    assert states(folder) == {"a": "changed", "b": "ok"}
    (folder / "c").write_text("three")
    with sums.rewriting(folder, "*"):
        pass
    assert states(folder) == {"a": "changed", "b": "ok", "c": "not listed"}
    with pytest.raises(sl.FileError, match=r"a: it has changed .* Do this\."):
        sums.check(folder, "*", advice="Do this.")
    sums.check(folder, "b", "unknown")


KILLED = """
import os, sys
from pathlib import Path
from sightline.files import atomic, sums
folder, at = Path(sys.argv[1]), int(sys.argv[2])
count = 0
real = os.replace
def dying(*args, **kwargs):
    global count
    count += 1
    if count == at:
        os._exit(9)
    return real(*args, **kwargs)
os.replace = dying
import pathlib
pathlib.Path.replace = lambda self, target: dying(self, target)
with sums.rewriting(folder, "a", "b"):
    atomic.write_text(folder / "a", "new")
    atomic.write_text(folder / "b", "new too")
"""


def test_a_kill_between_any_two_writes_leaves_no_wrong_sum(tmp_path: Path) -> None:
    codes: list[int] = []
    for at in range(1, 6):
        folder = sums.new_folder(tmp_path, "thing", "run")
        with sums.rewriting(folder, "a", "c"):
            atomic.write_text(folder / "a", "old")
            atomic.write_text(folder / "c", "kept")
        found = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(at)], check=False)
        codes.append(found.returncode)
        assert sl.verify(folder).damaged == []
        assert states(folder)["c"] == "ok"
        assert states(folder)["a"] == ("ok" if at in (1, 5) else "not listed")
    assert codes == [9, 9, 9, 9, 0], "off the list, a, b, on the list, the end"


def test_two_that_write_at_once_lose_nothing(folder: Path) -> None:
    def write(name: str) -> None:
        for number in range(10):
            with sums.rewriting(folder, name):
                atomic.write_text(folder / name, f"{name} {number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(folder) == dict.fromkeys("abcd", "ok")


def test_every_bit_of_the_list_counts(folder: Path) -> None:
    with sums.rewriting(folder, "a"):
        atomic.write_text(folder / "a", "one")
    path = folder / "sums.json"
    known = sums.listed(folder)
    for place in range(path.stat().st_size):
        with flipped(path, place, place % 7):
            try:
                assert sums.listed(folder) == known
            except sl.FileError as error:
                assert "sums.json" in str(error) and "delete it" in str(error)
                assert sl.verify(folder).damaged == [path]
    path.unlink()
    assert sums.listed(folder) is None


# Model files


def test_the_sum_is_that_of_the_tensors_and_of_the_header(trained: Path) -> None:
    """As model_file.py describes it, from another reader's arrays."""
    path = RunFolder(trained).best_weights
    tensors = safetensors.numpy.load_file(path)
    with safe_open(path, framework="numpy") as opened:
        header: dict[str, str] = opened.metadata()
    value = header.pop("sightline_sha256")
    described = [[name, f"torch.{tensors[name].dtype}", list(tensors[name].shape)] for name in sorted(tensors)]
    content = json.dumps({"metadata": header, "tensors": described}, sort_keys=True).encode()
    for name in sorted(tensors):
        content += tensors[name].tobytes()
    assert hashlib.sha256(content).hexdigest() == value


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int64", "bool", "uint8"])
def test_tensors_of_any_type_are_summed(tmp_path: Path, dtype: str) -> None:
    tensors = {"a": torch.ones(3, 2, dtype=getattr(torch, dtype)), "none": torch.ones(0), "one": torch.tensor(1)}
    path = tmp_path / "a.safetensors"
    path.write_bytes(model_file.pack(tensors, {"b": "c"}))
    read, _ = model_file.unpack(path)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(sl.FileError, match="SHA-256 in its header"):
        model_file.unpack(path)


def test_a_bit_of_a_model_file_is_noticed_or_changes_nothing(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(RunFolder(trained).best_weights.read_bytes())
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8)
    wanted, noticed = sl.load(path).probabilities(pixels), 0
    for _, place, bit in random_bits([path], int(os.environ.get("SIGHTLINE_FLIPS", "60")), seed=3):
        with flipped(path, place, bit):
            try:
                assert np.array_equal(sl.load(path).probabilities(pixels), wanted)
            except sl.FileError as error:
                assert str(path) in str(error)
                noticed += 1
    assert noticed > 40


def test_model_files_without_a_sum_are_read(trained: Path, tmp_path: Path) -> None:
    tensors, header = model_file.unpack(RunFolder(trained).best_weights)
    del header["sightline_sha256"]
    path = tmp_path / "old.safetensors"
    safetensors.numpy.save_file({name: tensor.numpy() for name, tensor in tensors.items()}, path, header)
    assert sl.load(path).class_names == sl.load(trained).class_names


# ONNX files


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra export is not installed")
    return sl.export(trained, out=tmp_path_factory.mktemp("exported") / "a.onnx").path


def test_a_bit_of_an_onnx_file_is_noticed_or_changes_nothing(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(exported.read_bytes())
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8)
    wanted, noticed = sl.load(path).probabilities(pixels), 0
    for _, place, bit in random_bits([path], int(os.environ.get("SIGHTLINE_FLIPS", "60")), seed=4):
        with flipped(path, place, bit):
            try:
                assert np.array_equal(sl.load(path).probabilities(pixels), wanted)
            except sl.FileError as error:
                assert str(path) in str(error)
                noticed += 1
    assert noticed > 40


def test_the_sum_is_that_of_an_onnx_file_without_it(exported: Path, tmp_path: Path) -> None:
    """As protobuf writes the same model without the entry; others may take the sum away, and the file is read."""
    import onnx

    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    (place,) = [i for i, entry in enumerate(model.metadata_props) if entry.key == "sightline_sha256"]
    value = model.metadata_props[place].value
    del model.metadata_props[place]
    content = model.SerializeToString(deterministic=True)
    assert hashlib.sha256(content).hexdigest() == value
    (tmp_path / "old.onnx").write_bytes(content)
    assert sl.load(tmp_path / "old.onnx").class_names == sl.load(exported).class_names
    model.metadata_props.add(key="sightline_sha256", value="0" * 64)
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(sl.FileError, match="changed since it was exported"):
        sl.load(tmp_path / "wrong.onnx")
