"""`sightline check` as a command, and the sheet that shows the pictures in question."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import sightline
from helpers.checking import check, found, make, picture
from sightline.cli.app import run
from sightline.drawing.contact_sheet import CELL, HEADING, MARGIN, Cell, Group, contact_sheet

pytestmark = pytest.mark.draws


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_command_says_it_in_eighty_columns(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    root = make(tmp_path / "pets", rng)
    long = root / "train" / "cat" / f"{'a-very-long-name-' * 6}.jpg"
    long.write_bytes(b"")
    for index in range(4):
        (root / "train" / "dog" / f"bad{index}.jpg").write_bytes(b"no picture")
    (root / "train" / "cat" / "odd\x1b[31m.png").write_bytes(b"")
    out = tmp_path / "out"
    assert run(["check", str(root), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    body = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(map(len, body)) <= 80
    assert "6 files cannot be read" in text and "and 3 more" in text
    assert f"Written to {out}: check.json and contact_sheet.png\n" in text
    assert "\x1b[31m" not in text
    assert text.splitlines()[-1].startswith("1 thing is wrong. Next:")
    assert json.loads((out / "check.json").read_text("utf-8"))["unreadable"] == 6
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


def test_a_result_has_attributes_and_its_json_keeps_keys_and_order(tmp_path, rng):
    root = make(tmp_path / "pets", rng)
    shutil.copy(root / "train/cat/001.jpg", root / "test/dog/copy.jpg")
    picture(rng).save(root / "train/dog/moving.gif", save_all=True, append_images=[picture(rng)])
    out = tmp_path / "out"
    result = sightline.check(root, out=out, near=False, alike=0.9, quiet=True)
    assert (result.data, result.files, result.pictures, result.unreadable) == (str(root), 58, 58, 0)
    assert (result.near_duplicates.searched, result.near_duplicates.alike) == (False, 0.9)
    assert (result.parts["test"].pictures, dict(result.parts["test"].classes)) == (17, {"cat": 8, "dog": 9})
    assert result.parts["test"].imbalance == 1.125
    assert result.written == (out / "check.json", out / "contact_sheet.png")
    pair, frames = result.problems[0], result.problems[1]
    assert (pair.kind, pair.count, pair.wrong, result.wrong) == ("exact_other_label", 1, True, True)
    (entry,) = pair.entries
    assert (entry.files, entry.note) == (("train/cat/001.jpg", "test/dog/copy.jpg"), "equal, cat and dog")
    assert (entry.parts, entry.labels, entry.similarity) == (("train", "test"), ("cat", "dog"), 1)
    assert (entry.format, entry.frames, frames.entries[0].frames, frames.wrong) == (None, None, 2, False)
    assert result.picture("test/dog/copy.jpg").shape == (48, 48, 3)
    content = json.loads((out / "check.json").read_text("utf-8"))
    assert content == result.to_dict()
    assert list(content) == [
        "data", "files", "pictures", "unreadable", "parts", "near_duplicates", "wrong", "problems", "seconds",
    ]  # fmt: skip
    assert {tuple(part) for part in content["parts"].values()} == {("pictures", "classes", "imbalance")}
    assert list(content["near_duplicates"]) == ["searched", "alike"]
    assert {tuple(problem) for problem in content["problems"]} == {
        ("kind", "count", "wrong", "text", "advice", "found")
    }
    assert [tuple(problem["found"][0]) for problem in content["problems"][:2]] == [
        ("files", "say", "parts", "labels", "similarity"),
        ("files", "say", "frames"),
    ]


def test_strict_json_and_exit_codes(tmp_path, rng, capsys):
    root = make(tmp_path / "pets", rng)
    assert run(["check", str(root), "--strict", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert not (tmp_path / "out" / "contact_sheet.png").exists()
    assert run(["check", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Nothing is wrong. Next: sightline train {root}"
    (root / "train" / "cat" / "bad.jpg").write_bytes(b"")
    assert run(["check", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wrong"] is True
    assert run(["check", str(root), "--strict", "--json"]) == 3
    answer = capsys.readouterr()
    assert json.loads(answer.out)["problems"][0]["kind"] == "unreadable"
    assert answer.err.startswith(f"error: {root}: 1 thing is wrong with it")


def test_a_dataset_with_a_name(capsys):
    report = check("digits")
    assert (report["pictures"], report["parts"]["train"]["pictures"]) == (1797, 1438)
    flagged = {name for case in found(report).values() for files in case for name in files}
    assert len(flagged) < 0.02 * 1797, "8x8 digits of one class are much alike, but few are copies"


def test_names_that_are_no_utf8(tmp_path, rng):
    root = make(tmp_path / "pets", rng, train=3, test=2)
    try:
        (root / "train" / "cat" / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    report = check(root, out=tmp_path / "out")
    assert report["unreadable"] == 1
    assert "udcff" in (tmp_path / "out" / "check.json").read_text("utf-8")


def test_checking_needs_no_torch(tmp_path, rng):
    root = make(tmp_path, rng, train=2, test=2)
    code = "import sys, sightline; sightline.check(sys.argv[1], out=sys.argv[2]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == 0


def test_the_sheet_shows_each_picture_with_its_path(tmp_path, monkeypatch):
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k))[1])
    red = np.full((20, 10, 3), (255, 0, 0), np.uint8)
    path = "train/" + "sub/" * 20 + "last-part.jpg"
    cells = [Cell([red, None], ["train/a.jpg", path], "99% alike")]
    contact_sheet([Group("2 pairs", cells * 5), Group("1 file", [Cell([red], ["b.png"])])], tmp_path / "sheet.png")
    texts = [text.get_text() for text in drawn[0].texts]
    assert {"2 pairs", "1 file", "train/a.jpg", "99% alike", "b.png", "no picture"} <= set(texts)
    (shortened,) = {text for text in texts if text.endswith("last-part.jpg")}
    assert shortened.startswith("train/") and "…" in shortened
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    # 20 x 10 enlarged seven times, six times over.
    assert int((pixels == (255, 0, 0)).all(axis=2).sum()) == 6 * 140 * 70
    boxes = [text.get_window_extent() for text in drawn[0].texts]
    assert max(box.x1 for box in boxes) <= pixels.shape[1] and min(box.y0 for box in boxes) >= 0


LINES = {"wide": "WWWW/" * 20 + "M.jpg", "chinese": "牛仔裤/" * 20 + "裤.jpg", "short": "train/short.jpg"}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_no_path_runs_into_the_next_picture_s(line, tmp_path):
    grey = np.full((28, 28, 1), 90, np.uint8)
    contact_sheet([Group(line * 4, [Cell([grey, grey], [line, line], line)] * 4)], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    words = pixels[MARGIN + HEADING :]
    for column in range(1, 4):
        second = MARGIN + column * (CELL + MARGIN)
        assert (words[:, second : second + CELL] < 200).any()
        assert (words[:, second - MARGIN + 2 : second] > 200).all()
    assert (pixels[:, -MARGIN + 2 :] > 200).all()
