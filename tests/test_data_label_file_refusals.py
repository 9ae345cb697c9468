"""What is wrong with a label file: one line that names it, and what a check says of the same."""

from __future__ import annotations

import json

import pytest

from helpers.folders import load, paint, pictures, refused, write
from sightline.checking.check import check

HEAD = ("image", "label")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \r\n", "it is empty"),
        (b"image,label\n", "names columns but no picture"),
        (b"image,label\np00.png,cat\np01.png\n", "line 3: it has 1 cell .expected 2, as in the first line"),
        (b"image,label\np00.png,cat\np01.png,\n", "one of its rows has no label, the first in line 3"),
        (b"image,label\n,cat\np01.png,dog\n,dog\n", "2 of its 3 rows have no picture, the first in line 2"),
        (b"image,image\np00.png,cat\n", "the column 'image' twice"),
        (b'image,label\np00.png,"cat\n', "not a readable table"),
        (b"image,label\np00.png,cat\np01.png,cat\n", "it has only one class, cat"),
        (b"image,x,y1\np00.png,a,1\np02.png,a,1\np01.png,b,2\np03.png,b,2\n", "could be in x, y1"),
        (b"image,x,z\np00.png,a,1\np02.png,b,2\np01.png,c,3\n", "none of its columns has labels, but image, x, z"),
        (b"what,label\nfoo,cat\nbar,dog\n", "none of its columns names pictures that are there, but what, label"),
        (b"image,label,split\np00.png,cat,train\np01.png,dog,extra\n", "line 3: its split is 'extra'"),
        (b"image,label,split\np00.png,cat,test\np01.png,dog,test\n", "no training picture"),
        (b"image,label,split\np00.png,cat,train\np01.png,dog,train\np02.png,eel,test\n", "test: class eel is extra"),
        (b"\xff\xfei\0m\0x", "it is not valid UTF-16 text"),
        (b"image,label\np00.png,\x81\x20\xff\n", "its encoding is unknown"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, said):
    pictures(tmp_path)
    (tmp_path / "x.csv").write_bytes(content)
    refused(tmp_path / "x.csv", said)


@pytest.mark.parametrize("line", ["[1]", "{", '"x"', "[" * 100_000])
def test_lines_that_are_no_json_objects(tmp_path, line):
    (tmp_path / "x.jsonl").write_text('{"image": "p00.png", "label": 1}\n' + line)
    refused(tmp_path / "x.jsonl", "line 2: it is not a JSON object")


def test_a_label_that_is_no_text(tmp_path):
    pictures(tmp_path)
    (tmp_path / "x.jsonl").write_text('{"image": "p00.png", "label": "\\ud800"}\n')
    refused(tmp_path / "x.jsonl", "line 1: its label is no text")
    (tmp_path / "x.jsonl").write_text('{"image": "\\ud800.png", "label": "cat"}\n')
    refused(tmp_path / "x.jsonl", "line 1: its picture is no text")


@pytest.mark.parametrize("name", ["p\0.png", "x" * 5000 + ".png", "gone.png"])
def test_missing_pictures_are_counted_and_the_first_is_named(tmp_path, name):
    rows = [(row[0], row[1]) for row in pictures(tmp_path)]
    told = [*rows, (name, "cat"), ("away.png", "dog")]
    lines = (json.dumps({"image": image, "label": label}) for image, label in told)
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    refused(tmp_path / "x.jsonl", r"2 of its 14 pictures are missing, .* in line 13 first \(expected paths")
    loaded = load(tmp_path / "x.jsonl", skip_bad=True)
    assert len(loaded.skipped) == 2
    assert len(loaded.train) + len(loaded.test) == 12


def test_duplicates_and_two_labels(tmp_path):
    rows = pictures(tmp_path)
    table = write(tmp_path / "x.csv", [HEAD, *rows, rows[3], ("./p05.png", "dog")])
    refused(table, r"duplicate rows: p03\.png in line 5 and line 14 and 1 more")
    problems = {problem.kind: problem for problem in check(table, near=False, quiet=True).problems}
    assert [entry.note for entry in problems["repeated"].entries] == ["lines 5 and 14", "lines 7 and 15"]
    assert problems["repeated"].wrong and "two_labels" not in problems
    write(table, [HEAD, *rows, ("p03.png", "cat")])
    refused(table, r"pictures with two labels: p03\.png is dog in line 5 and cat in line 14")
    problems = {problem.kind: problem for problem in check(table, near=False, quiet=True).problems}
    assert [entry.files for entry in problems["two_labels"].entries] == [("p03.png",)]


def test_a_check_names_missing_pictures_and_stops_at_none(tmp_path):
    rows = pictures(tmp_path)
    parts = [(*row, "train" if index < 9 else "test") for index, row in enumerate(rows)]
    table = write(tmp_path / "x.csv", [(*HEAD, "split"), *parts, ("gone.png", "cat", "test"), ("q.png", "eel", "test")])
    paint(tmp_path / "q.png", 3)
    result = check(table, near=False, quiet=True)
    problems = {problem.kind: problem for problem in result.problems}
    assert [(entry.files, entry.note) for entry in problems["unreadable"].entries] == [(("gone.png",), "no such file")]
    assert [entry.note for entry in problems["missing_class"].entries] == ["no eel in train"]
    assert result.parts["train"].pictures == 9 and result.parts["test"].pictures == 4
    assert "14 rows" in result.to_dict()["notes"][0]


def test_several_files_of_labels_are_named(tmp_path):
    rows = pictures(tmp_path, folder="images")
    for name in ("train.csv", "sample_submission.csv"):
        write(tmp_path / name, [HEAD, *rows])
    refused(tmp_path, r"several label files, sample_submission\.csv, train\.csv .*labels")
    assert load(tmp_path, labels="train.csv").class_names == ("cat", "dog")


def test_a_column_called_set_without_parts_is_no_split(tmp_path):
    rows = [(*row, "isic") for row in pictures(tmp_path)]
    loaded = load(write(tmp_path / "x.csv", [(*HEAD, "dataset"), *rows]))
    assert loaded.notes[1] == "x.csv: 'dataset' is taken for no split, since it has isic"


def test_what_is_no_kind_of_data(tmp_path):
    (tmp_path / "x.7z").write_bytes(b"7z")
    refused(tmp_path / "x.7z", r"it is a file \(expected a folder, a label file .* or an archive")
    refused(tmp_path / "x.csv", "no such file")
