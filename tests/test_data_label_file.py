"""Files of labels: encodings, separators, which column says what, and where the pictures lie."""

from __future__ import annotations

import json

import numpy as np
import pytest

import sightline as sl
from helpers.folders import load, make, paint, pictures, refused, write
from sightline import data
from sightline.data.label_file import read_table
from sightline.errors import DataError, UsageError
from sightline.settings.data import DataSettings


def labels_of(part):
    return {name: part.class_names[label] for name, label in zip(part.ids, part.labels, strict=True)}


def everything(loaded):
    return labels_of(loaded.train) | labels_of(loaded.test) | (labels_of(loaded.val) if loaded.val else {})


def test_a_table_says_what_the_folders_say(tmp_path):
    """The same pictures, sizes and splits, whether folders or a file tell the labels."""
    root = make(tmp_path / "pets", ("",), count=20)
    rows = [(path.relative_to(tmp_path).as_posix(), path.parent.name) for path in root.rglob("*.png")]
    np.random.default_rng(0).shuffle(rows)
    table = write(tmp_path / "pets.csv", [("image", "label"), *rows])
    by_folder, by_table = load(root), load(table)
    assert by_table.name == "pets"
    for one, other in ((by_folder.train, by_table.train), (by_folder.test, by_table.test)):
        assert [f"pets/{name}" for name in one.ids] == list(other.ids)
        assert np.array_equal(one.images(), other.images())
        assert np.array_equal(one.labels, other.labels)


def test_parts_and_groups_of_columns(tmp_path):
    rows = pictures(tmp_path, 24)
    parts = ["train", "Training", "val", "dev", "test", "TEST"]
    told = [(*row, parts[index // 4], f"person {index // 2}") for index, row in enumerate(rows)]
    table = write(tmp_path / "all.tsv", [("filename", "class", "subset", "patient_id"), *told], "\t")
    loaded = load(table)
    for name, part in (("train", loaded.train), ("val", loaded.val), ("test", loaded.test)):
        expected = {row[0]: row[1] for row in told if row[2].lower()[:3] in (name[:3], {"val": "dev"}.get(name))}
        assert labels_of(part) == expected
        people = {row[0]: row[3] for row in told}
        by_group: dict[int, set[str]] = {}
        for image, group in zip(part.ids, part.groups, strict=True):
            by_group.setdefault(int(group), set()).add(people[image])
        assert sorted(map(sorted, by_group.values())) == sorted([[one] for one in {people[i] for i in part.ids}])
    chosen = loaded.train.select(np.array([3, 1]))
    assert chosen.groups.tolist() == loaded.train.groups[[3, 1]].tolist()
    assert load(table, group_column="none").train.groups is None
    assert "split from 'subset', group from 'patient_id'" in loaded.notes[0]


def test_groups_that_the_split_column_divides_are_told(tmp_path):
    rows = [(*row, ("train", "test")[index % 3 == 0], f"p{index // 2}") for index, row in enumerate(pictures(tmp_path))]
    loaded = load(write(tmp_path / "a.csv", [("image", "label", "split", "person"), *rows]))
    assert loaded.notes[1].startswith("4 groups have pictures in train and in test")


def test_pictures_without_a_group_are_each_their_own(tmp_path):
    rows = [(*row, "p" if index < 4 else "") for index, row in enumerate(pictures(tmp_path, 12))]
    loaded = load(write(tmp_path / "a.csv", [("image", "label", "person"), *rows]), test_fraction=0.25)
    groups = np.concatenate([loaded.train.groups, loaded.test.groups])
    assert len(set(groups.tolist())) == 9


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        (("Image Path", "Class Name"), (0, 1)),
        (("id", "breed"), (0, 1)),
        (("label", "file"), (1, 0)),
        (("文件名", "标签"), (0, 1)),
        (("a", "b"), (0, 1)),  # by content
        (("b", "a", "age"), (0, 1)),
    ],
)
def test_columns_are_found_by_name_and_by_content(tmp_path, columns, place):
    rows = pictures(tmp_path)
    told = []
    for index, row in enumerate(rows):
        cells = [f"{index}.5"] * len(columns)
        cells[place[0]], cells[place[1]] = row
        told.append(cells)
    assert everything(load(write(tmp_path / "x.csv", [columns, *told]))) == dict(rows)


def test_named_columns_go_before_guesses(tmp_path):
    rows = [(name, label, name[-5]) for name, label in pictures(tmp_path)]
    table = write(tmp_path / "x.csv", [("image", "label", "digit"), *rows])
    assert load(table).class_names == ("cat", "dog")
    with pytest.raises(UsageError, match=r"label_column: 'digits' is not known .*Did you mean digit\?"):
        load(table, label_column="digits")
    with pytest.raises(UsageError, match="image_column: 'path' is not known"):
        load(table, image_column="path")


@pytest.mark.parametrize("columns", [("label", "id"), ("kind", "id")])
def test_numbers_may_be_labels_and_names_of_pictures(tmp_path, columns):
    for index in range(12):
        paint(tmp_path / "images" / f"{index}.png", index)
    loaded = load(write(tmp_path / "x.csv", [columns, *((index % 2, index) for index in range(12))]))
    assert everything(loaded) == {f"images/{index}.png": str(index % 2) for index in range(12)}


def test_numbers_are_classes_in_the_order_of_their_values(tmp_path):
    rows = [(name, index % 12) for index, (name, _) in enumerate(pictures(tmp_path, 48))]
    loaded = load(write(tmp_path / "x.csv", [("image", "label"), *rows]))
    assert loaded.class_names == tuple(map(str, range(12)))
    assert everything(loaded) == {name: str(label) for name, label in rows}


def test_a_table_without_names_of_columns(tmp_path):
    rows = pictures(tmp_path)
    loaded = load(write(tmp_path / "x.csv", rows, ";"))
    assert everything(loaded) == dict(rows)
    assert "image from '1', label from '2'" in loaded.notes[0]


def test_json_lines(tmp_path):
    rows = [(name, index % 3) for index, (name, _) in enumerate(pictures(tmp_path, 18))]
    lines = [json.dumps({"file_name": name, "label": label, "more": {"x": [1]}}) for name, label in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n\n")
    assert everything(load(tmp_path)) == {name: str(label) for name, label in rows}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("gbk", "GB18030"),
        ("gb18030", "GB18030"),
    ],
)
def test_encodings_and_separators(tmp_path, encoding, said, separator):
    names = {"cat": "橘猫", "dog": "小狗"}
    rows = [(name, names[label]) for name, label in pictures(tmp_path)]
    table = write(tmp_path / "x.csv", [("图片", "类别"), *rows], separator, encoding)
    loaded = load(table)
    assert everything(loaded) == dict(rows)
    told = [note for note in loaded.notes if "since it is not UTF-8" in note]
    assert told == ([] if said is None else [f"x.csv: read as {said}, since it is not UTF-8"])


def test_western_letters_are_not_taken_for_chinese(tmp_path):
    rows = [(name, {"cat": "café", "dog": "Grün"}[label]) for name, label in pictures(tmp_path)]
    loaded = load(write(tmp_path / "x.csv", [("image", "label"), *rows], ";", "cp1252"))
    assert loaded.class_names == ("Grün", "café")
    assert "read as Windows-1252" in loaded.notes[0]


def test_quotes_blanks_and_lines(tmp_path):
    (tmp_path / "x.csv").write_text('image , label\r\n"a, b.png", " big\ncat "\r\n\r\nc.png,dog\r\n')
    table = read_table(tmp_path / "x.csv")
    assert table.columns == ("image", "label")
    assert [list(row) for row in table.rows] == [["a, b.png", "big\ncat"], ["c.png", "dog"]]
    assert list(table.lines) == [3, 5]


# Where the pictures lie


def test_ids_without_suffix_in_a_folder_beside(tmp_path):
    rows = pictures(tmp_path, folder="train_images", suffix=".jpg")
    write(tmp_path / "train.csv", [("id_code", "diagnosis"), *((name[13:-4], label) for name, label in rows)])
    assert everything(load(tmp_path)) == dict(rows)
    for index in range(4):  # some of the ids are there twice, but one folder only has all of them
        paint(tmp_path / "test_images" / f"p{index:02d}.jpg", 200)
    assert everything(load(tmp_path / "train.csv")) == dict(rows)
    pictures(tmp_path, folder="more", suffix=".JPG")
    refused(tmp_path / "train.csv", r"line 2: 'p00' could be more/p00\.JPG or test_images/p00\.jpg or 1 more")


def test_ids_over_several_folders(tmp_path):
    rows = [*pictures(tmp_path, 6, "part_1"), *[(f"part_2/q{i}.png", "dog") for i in range(4)]]
    for name, _ in rows[6:]:
        paint(tmp_path / name, 7)
    write(tmp_path / "labels.csv", [("image_id", "dx"), *((name[7:-4], label) for name, label in rows)])
    assert everything(load(tmp_path / "labels.csv")) == dict(rows)


def test_a_file_elsewhere_over_a_folder(tmp_path):
    rows = pictures(tmp_path / "photos")
    table = write(tmp_path / "lists" / "mine.csv", [("image", "label"), *rows])
    loaded = load(tmp_path / "photos", labels=str(table))
    assert everything(loaded) == dict(rows)
    assert loaded.name == "photos"
    with pytest.raises(UsageError, match=r"labels: .*gone\.csv is not there"):
        load(tmp_path / "photos", labels=str(tmp_path / "gone.csv"))
    with pytest.raises(UsageError, match="is a label file itself"):
        load(table, labels=str(table))


def test_paths_may_lead_up_be_absolute_and_have_backslashes(tmp_path):
    rows = pictures(tmp_path / "photos")
    told = [(f"../photos/{name}", label) for name, label in rows[:4]]
    told += [(str(tmp_path / "photos" / name), label) for name, label in rows[4:8]]
    told += [(f"..\\photos\\{name}", label) for name, label in rows[8:]]
    loaded = load(write(tmp_path / "lists" / "x.csv", [("image", "label"), *told]))
    assert everything(loaded) == {f"../photos/{name}": label for name, label in rows}
    linked = tmp_path / "deep" / "link"
    linked.parent.mkdir()
    linked.symlink_to(tmp_path / "lists", target_is_directory=True)
    assert everything(load(linked / "x.csv")) == everything(loaded)


def test_class_folders_go_before_a_file_in_them(tmp_path):
    root = make(tmp_path / "pets", ("",))
    write(root / "labels.csv", [("image", "label"), ("cat/0.png", "x"), ("dog/0.png", "y")])
    loaded = load(root)
    assert loaded.class_names == ("cat", "dog")
    assert "set labels to labels.csv" in loaded.notes[0]
    write(root / "labels.csv", [("image", "label"), *((f"cat/{i}.png", "xy"[i % 2]) for i in range(6))])
    assert load(root, labels="labels.csv", test_fraction=0.4).class_names == ("x", "y")


def test_pictures_to_predict_come_in_the_order_of_the_file(tmp_path):
    rows = pictures(tmp_path, folder="new", suffix=".jpg")[::-1]
    table = write(
        tmp_path / "x.csv", [("序号", "编号"), *((n, name[4:-4]) for n, (name, _) in enumerate(rows))], encoding="gbk"
    )
    told: list[str] = []
    assert sl.find_pictures(table, tell=told.append) == [tmp_path / name for name, _ in rows]
    assert told == ["x.csv: read as GB18030, since it is not UTF-8"]
    (tmp_path / rows[2][0]).unlink()
    with pytest.raises(DataError, match=r"1 of its 12 pictures is missing, .* in line 4 \("):
        sl.find_pictures(table)
    assert len(sl.find_pictures(table, skip_bad=True)) == 12
    with pytest.raises(UsageError, match=r"^image_column: "):
        sl.find_pictures(table, image_column="x")


# A test of a model


def test_load_test_of_a_table(tmp_path):
    rows = pictures(tmp_path)
    wanted = data.unit_preprocessing((8, 8, 3))
    table = write(tmp_path / "x.csv", [("image", "label"), *rows[:1], *rows[2:3]])
    told: list[str] = []
    test = data.load_test(DataSettings(name=str(table)), ("dog", "cat"), wanted, tell=told.append)
    assert labels_of(test) == dict([rows[0], rows[2]])
    assert test.class_names == ("dog", "cat") and test.labels.tolist() == [1, 1]
    assert "2 rows" in told[0]
    write(table, [("image", "label", "split"), *((*row, ("train", "test")[i % 3 == 0]) for i, row in enumerate(rows))])
    assert len(data.load_test(DataSettings(name=str(table)), ("dog", "cat"), wanted)) == 4
