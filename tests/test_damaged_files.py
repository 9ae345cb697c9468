"""Files of a run, damaged in some hundreds of ways: every reader names the file in one line, and lists go on."""

from __future__ import annotations

import copy
import json
import random
import shutil
import struct
import sys
import time
from pathlib import Path

import pytest
import yaml

import sightline as sl
from helpers.sums import unlisted
from helpers.training import small
from sightline.errors import FileError, SightlineError
from sightline.files.sums import SUM_KEY
from sightline.runs.folder import RunFolder
from sightline.runs.records import Audit, Environment, NetworkSummary, Splits

SEED, BYTES, VALUES = 20, 12, 25
ODD = (
    None, True, -1, 0, 2**63, 2**200, 10**4200, 1e300, float("inf"), float("nan"), "", "x", "9" * 5000, "\0", "\ud800",
    [], {}, [[[]]], {"a": {}}, [None, 1, "x"],
)  # fmt: skip
TABLES = ("results.csv", "steps.csv")
YAML_FILES = ("settings.yaml",)
JSON_FILES = ("environment.json", "splits.json", "audit.json", "network.json", "test/metrics.json")
CHECKPOINT = "checkpoints/step-000018.safetensors"
MODEL = "weights/best.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return unlisted(small(tmp_path_factory.mktemp("runs"), epochs=2, log_steps=5).run)


def places(content, path=()):
    """Give the way to every value inside."""
    yield path
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(inner)[:40]:
        yield from places(value, (*path, key))


def changed(content, rng):
    """The same content with a value that is odd, or gone."""
    content = copy.deepcopy(content)
    path = rng.choice(list(places(content)))
    value = copy.deepcopy(rng.choice(ODD))
    if not path:
        return value
    *above, last = path
    inside = content
    for key in above:
        inside = inside[key]
    if rng.random() < 0.3:
        del inside[last]
    else:
        inside[last] = value
    return content


def broken(content, rng):
    """Bytes that are cut, exchanged, said twice, or nested."""
    data = bytearray(content)
    place = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            return bytes(data[:place])
        case 1:
            data[place] = rng.randrange(256)
        case 2:
            data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        case 3:
            del data[place : place + rng.randrange(1, 30)]
        case 4:
            data[place:place] = rng.choice((b"[", b"{", b'{"a":', b"- ", b"a: ")) * 100_000
        case _:
            data[place:place] = rng.choice((b"9" * 5000, b"1e999", b"-", b'"', b"\0", b"\n", b",", b"&a *a", b"\xff"))
    return bytes(data)


def as_json(content):
    return json.dumps(content, default=str).encode("utf-8", "surrogatepass")


def as_yaml(content):
    return yaml.safe_dump(content).encode("utf-8", "surrogatepass")


def odd_table(content, rng):
    """A table one of whose cells is another, or whose rows are longer or shorter."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice(rows)
    column = rng.randrange(len(row))
    match rng.randrange(4):
        case 0:
            del row[column]
        case 1:
            row.insert(column, "1")
        case 2:
            rows.remove(row)
        case _:
            row[column] = rng.choice(("", "x", "nan", "inf", "1e999", "-1", "9" * 5000, "9" * 400, '"', "0x1", "1.5"))
    return "\n".join(map(",".join, rows)).encode() + b"\n"


def in_header(content, rng):
    """A safetensors file whose own JSON is changed or broken, with its length made right."""
    (length,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + length])
    if rng.random() < 0.2:
        new = as_json(changed(head, rng))
    else:
        # Without the sum, which would tell of any damage.
        del head["__metadata__"][SUM_KEY]
        (key,) = head["__metadata__"]
        inner = head["__metadata__"][key].encode()
        inner = as_json(changed(json.loads(inner), rng)) if rng.random() < 0.7 else broken(inner, rng)
        head["__metadata__"][key] = inner.decode("utf-8", "replace")
        new = as_json(head)
    return struct.pack("<Q", len(new)) + new + content[8 + length :]


def mutants(whole, name, count, seed=SEED):
    """So many damaged contents of a file."""
    rng, content = random.Random(f"{seed}{name}"), (whole / name).read_bytes()
    old = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        for number in range(count):
            if number % 3 == 0 and not name.endswith(".safetensors"):
                yield broken(content, rng)
            elif name in TABLES:
                yield odd_table(content, rng)
            elif name in YAML_FILES:
                yield as_yaml(changed(yaml.safe_load(content), rng))
            elif name in JSON_FILES:
                yield as_json(changed(json.loads(content), rng))
            else:
                yield in_header(content, rng)
    finally:
        sys.set_int_max_str_digits(old)


def readers(name):
    """What reads the file, of a run's folder."""
    yield lambda folder: sl.list_runs(folder.path)
    if name in TABLES:
        yield lambda folder: folder.rows(name)
    if name == "results.csv":
        yield lambda folder: folder.results()
        yield lambda folder: folder.is_finished()
        yield lambda folder: folder.tested_step()
    elif name in YAML_FILES:
        yield lambda folder: folder.settings()
    elif name in JSON_FILES[:4]:
        kind = dict(zip(JSON_FILES, (Environment, Splits, Audit, NetworkSummary), strict=False))[name]
        yield lambda folder: folder.read(kind)
    elif name == JSON_FILES[4]:
        yield lambda folder: folder.test_folder.read()
    elif name == CHECKPOINT:
        yield lambda folder: folder.was_stopped_early()
        yield lambda folder: state(folder.path / CHECKPOINT)
    elif name == MODEL:
        yield lambda folder: sl.load(folder.path / MODEL)


def state(path):
    from sightline.classifier.model_file import unpack
    from sightline.training.checkpoints import read_state

    return read_state(path, unpack(path)[1])


@pytest.mark.parametrize("name", [*YAML_FILES, *JSON_FILES, *TABLES, CHECKPOINT, MODEL])
def test_damaged_files_of_a_run_are_named_by_whatever_reads_them(whole, tmp_path, name):
    copied = Path(shutil.copytree(whole, tmp_path / "odd-001"))
    came = {"read": 0, "refused": 0}
    for content in list(mutants(whole, name, BYTES + VALUES)):
        (copied / name).write_bytes(content)
        for read in readers(name):
            try:
                read(RunFolder(copied))
            except SightlineError as error:
                assert Path(name).name in str(error), str(error)
                assert isinstance(error, FileError) and "\n" not in str(error) and len(str(error)) < 2000
                came["refused"] += 1
            else:
                came["read"] += 1
    assert came["refused"] > BYTES // 2 or name == "steps.csv"  # the damage was some, but texts in a table are any


@pytest.mark.parametrize("name", [*YAML_FILES, *JSON_FILES[1:], "results.csv"])
def test_reports_of_damaged_runs_are_written_or_name_the_file(whole, tmp_path, name):
    copied = Path(shutil.copytree(whole, tmp_path / "odd-001"))
    for content in list(mutants(whole, name, 4, seed=SEED + 1)):
        (copied / name).write_bytes(content)
        try:
            sl.report(copied)
        except SightlineError as error:
            assert Path(name).name in str(error), str(error)


def test_a_list_goes_on_and_calls_the_damaged_run_damaged(whole, tmp_path):
    for number in range(3):
        shutil.copytree(whole, tmp_path / f"run-{number}")
    (tmp_path / "run-1" / "settings.yaml").write_text("[" * 100_000)
    (tmp_path / "run-2" / "results.csv").write_text("epoch,step\n" + "9" * 5000 + ",1\n")
    found = sl.list_runs(tmp_path)
    assert [run.name for run in found.runs] == ["run-0"]
    assert found.left_out.keys() == {tmp_path / "run-1", tmp_path / "run-2"}
    assert all("damaged" in why for why in found.left_out.values())


def test_a_table_with_an_open_quote_is_read_in_a_moment(whole, tmp_path):
    copied = Path(shutil.copytree(whole, tmp_path / "odd-001"))
    with (copied / "results.csv").open("a") as stream:
        stream.write('"' + "1,2,3\n" * 300_000)
    begun = time.perf_counter()
    assert len(RunFolder(copied).results()) == 2
    assert time.perf_counter() - begun < 8


def test_a_comparison_goes_on_without_a_damaged_run_as_long_as_two_sides_are_left(whole, tmp_path, capsys):
    settings = (whole / "settings.yaml").read_text()
    assert "lr: 0.05\n" in settings and "seed: 0\n" in settings
    runs = {}
    for name, lr, seed in (("a", 0.05, 0), ("b", 0.06, 0), ("c", 0.06, 1)):
        runs[name] = Path(shutil.copytree(whole, tmp_path / name))
        changed_text = settings.replace("lr: 0.05\n", f"lr: {lr}\n").replace("  seed: 0\n", f"  seed: {seed}\n")
        (runs[name] / "settings.yaml").write_text(changed_text)
    (runs["c"] / "results.csv").write_text("epoch,step\nx,y\n")
    found = sl.compare(list(runs.values()), comparisons=tmp_path / "comparisons")
    assert [side.n for side in found.sides] == [1, 1]
    assert f"warning: left out {runs['c']} (damaged, results.csv: damaged)" in capsys.readouterr().err
    with pytest.raises(FileError, match=r"results\.csv"):
        sl.compare([runs["a"], runs["c"]], comparisons=tmp_path / "comparisons")
