"""`sightline check` on folders with planted faults: everything planted is found, and hardly anything else."""

from __future__ import annotations

import contextlib
import io
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
from sightline import data
from sightline.checking import duplicates, picture_facts
from sightline.cli.app import run
from sightline.drawing.contact_sheet import CELL, HEADING, MARGIN, Cell, Group, contact_sheet
from sightline.errors import DataError, UsageError
from sightline.settings.data import DataSettings

pytestmark = pytest.mark.draws


def picture(rng, width=48, height=48):
    """A smooth ground with texture on it, as photographs have."""
    ground = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height), 2)
    texture = rng.integers(-40, 40, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(ground, int) + texture, 0, 255).astype(np.uint8))


def make(root, rng, train=20, test=8, classes=("cat", "dog")):
    for part, count in (("train", train), ("test", test)):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture(rng).save(folder / f"{index:03}.jpg", quality=92)
    return root


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def check(root, **options):
    return sightline.check(root, quiet=True, **options).report


def found(report):
    """What was found: kind -> the files of each case, without their order."""
    kinds: dict[str, list[tuple[str, ...]]] = {}
    for problem in report["problems"]:
        assert problem["count"] == len(problem["found"])
        name = problem["found"][0].get("picture_kind", problem["kind"])
        kinds[name] = sorted(tuple(entry["files"]) for entry in problem["found"])
    return kinds


# Files


def corrupt(rng, original, kind):
    match kind:
        case "truncated":
            return original[: int(rng.integers(1, len(original) - 1))]
        case "random":
            return rng.bytes(len(original))
        case "empty":
            return b""
        case "zeros":
            return bytes(len(original))
        case "magic":
            return b"\x89PNG" + original[4:]
        case _:
            return b"this is no picture\n" * 20


def test_fifty_of_fifty_corrupt_files(tmp_path, rng):
    make(tmp_path, rng, train=60, test=10)
    kinds = ["truncated"] * 20 + ["random"] * 8 + ["empty"] * 6 + ["zeros"] * 4 + ["magic"] * 6 + ["text"] * 6
    paths = sorted(tmp_path.glob("train/*/*.jpg"))
    chosen = [paths[index] for index in rng.choice(len(paths), 50, replace=False)]
    for path, kind in zip(chosen, kinds, strict=True):
        path.write_bytes(corrupt(rng, path.read_bytes(), kind))
    report = check(tmp_path)
    bad = {name for (name,) in found(report)["unreadable"] + found(report).get("cut_short", [])}
    assert bad == {path.relative_to(tmp_path).as_posix() for path in chosen}
    assert (report["files"], report["unreadable"]) == (140, 50)
    assert report["pictures"] == sum(part["pictures"] for part in report["parts"].values()) == 90
    (problem,) = [problem for problem in report["problems"] if problem["kind"] == "unreadable"]
    assert all(entry["say"] for entry in problem["found"])


@pytest.mark.parametrize("form", ["png", "gif", "webp", "jpeg"])
def test_a_file_without_its_last_bytes_is_told(tmp_path, rng, form):
    make(tmp_path, rng, train=2, test=2)
    stream = io.BytesIO()
    picture(rng).save(stream, form)
    path = tmp_path / f"train/cat/short.{form}"
    path.write_bytes(stream.getvalue()[:-1])
    kinds = found(check(tmp_path))
    name = "train/cat/short." + form
    assert (name,) in kinds.get("unreadable", []) + kinds.get("cut_short", [])


def test_what_is_odd_about_single_files(tmp_path, rng):
    cat = make(tmp_path, rng) / "train" / "cat"
    (cat / "lie.png").write_bytes((cat / "000.jpg").read_bytes())
    picture(rng).save(cat / "moving.gif", save_all=True, append_images=[picture(rng), picture(rng)])
    picture(rng).convert("L").save(cat / "gray.png")
    half = picture(rng).convert("RGBA")
    half.putalpha(100)
    half.save(cat / "alpha.png")
    Image.fromarray(rng.integers(0, 65535, (48, 48), dtype=np.uint16)).save(cat / "deep.png")
    picture(rng).convert("CMYK").save(cat / "print.jpg")
    picture(rng, 400, 400).save(cat / "big.jpg")
    picture(rng, 6, 6).save(cat / "tiny.png")
    picture(rng, 40, 160).save(cat / "long.jpg")
    Image.new("RGB", (48, 48), (9, 9, 200)).save(cat / "flat.png")
    (cat / "notes.txt").write_text("x")
    (tmp_path / "train" / "stray.jpg").write_bytes((cat / "001.jpg").read_bytes())
    kinds = found(check(tmp_path))

    def names(*files):
        return [(f"train/cat/{file}",) for file in files]

    assert kinds.pop("exact_inside") == [("train/cat/000.jpg", "train/cat/lie.png")]
    assert kinds == {
        "loose": [("train/stray.jpg",)],
        "suffix": names("lie.png"),
        "frames": names("moving.gif"),
        "ignored": names("notes.txt"),
        "flat": names("flat.png"),
        "size": names("big.jpg", "tiny.png"),
        "aspect": names("long.jpg"),
        "gray": names("deep.png", "gray.png"),
        "alpha": names("alpha.png"),
        "16-bit": names("deep.png"),
        "palette": names("moving.gif"),
        "CMYK": names("print.jpg"),
    }


def test_sixteen_bits_are_seen_where_pillow_hides_them(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.full((9, 9), 700, np.uint16))
    assert "16-bit" in picture_facts.picture_facts(path).kinds


# Classes


def test_classes(tmp_path, rng):
    make(tmp_path, rng)
    for name, count in (("train/Cat ", 1), ("train/bird", 12), ("test/empty", 0)):
        (tmp_path / name).mkdir()
        for index in range(count):
            picture(rng).save(tmp_path / name / f"{index}.png")
    report = check(tmp_path)
    assert found(report) == {
        "missing_class": [("test/Cat ",), ("test/bird",), ("train/empty",)],
        "empty_class": [("test/empty",)],
        "class_names": [("Cat ", "cat")],
        "few": [("train/Cat ",)],
        "imbalance": [("train",)],
    }
    assert report["parts"]["train"]["classes"] == {"Cat ": 1, "bird": 12, "cat": 20, "dog": 20}
    assert report["parts"]["train"]["imbalance"] == 20
    assert report["parts"]["test"]["imbalance"] is None
    assert [problem["wrong"] for problem in report["problems"]] == [True, True, True, False, False]


def test_one_folder_per_class_and_copies_that_a_split_would_part(tmp_path, rng):
    make(tmp_path, rng)
    whole = tmp_path / "train"
    shutil.copy(whole / "cat" / "003.jpg", whole / "cat" / "copy.jpg")
    report = check(whole)
    assert list(report["parts"]) == ["all"]
    assert found(report) == {"exact_inside": [("cat/003.jpg", "cat/copy.jpg")]}
    assert report["wrong"], "a split by chance may put one of them into train and the other into test"
    (tmp_path / "train" / "cat" / "copy.jpg").rename(tmp_path / "test" / "cat" / "009.jpg")
    shutil.rmtree(tmp_path / "train")
    assert found(check(tmp_path))["no_train"] == [("test",)]


PARTED = "train/a train/b"


@pytest.mark.parametrize(
    ("tree", "wrong"),
    [
        (PARTED, ""),
        (f"{PARTED} val/a val/b test/a test/b", ""),
        (f"{PARTED} valid/a valid/b", ""),
        ("a b", ""),
        ("car train", ""),
        ("train val", ""),
        ("test val/a val/b", ""),
        (f"{PARTED} val", "loose no_classes"),
        (f"{PARTED} val/ test/a test/b", "no_classes"),
        (f"{PARTED} test", "loose no_classes"),
        (f"{PARTED} test/", "no_classes"),
        (f"{PARTED} val/a val/b valid/a valid/b", "several_val"),
        (f"{PARTED} val/a val/b validation/", "no_classes several_val"),
        ("train test", "loose no_classes"),
        ("train/ test/", "no_classes"),
        ("train/ test/ a b", "no_classes"),
        ("test/a test/b", "no_train"),
        ("test/a test/b train", "loose no_classes"),
        ("val/a val/b", "one_class"),
        ("train/a a b", "one_class"),
        (f"{PARTED} test/a", "missing_class"),
        (f"{PARTED} train/c/", "empty_class"),
    ],
)
def test_what_it_finds_wrong_with_the_folders_is_what_training_refuses(tmp_path, rng, tree, wrong):
    """A folder of `tree` holds pictures, or nothing where a slash ends it."""
    for name in tree.split():
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for index in range(0 if name.endswith("/") else 8):
            picture(rng, 12, 12).save(folder / f"{index}.png")
    problems = check(tmp_path, near=False)["problems"]
    assert sorted(problem["kind"] for problem in problems if problem["wrong"]) == wrong.split()
    loose = [files for problem in problems if problem["kind"] == "loose" for files in problem["found"]]
    assert len(loose) == 8 * ("loose" in wrong) * len({"train", "val", "test"} & set(tree.split()))
    with pytest.raises(DataError) if wrong else contextlib.nullcontext():
        data.load(DataSettings(name=str(tmp_path), image_size=8), quiet=True)


@pytest.mark.parametrize("place", ["train/a-loop", "test/z-loop.jpg", "train"])
def test_a_link_to_itself_is_told_and_stops_nothing(tmp_path, rng, place):
    make(tmp_path, rng, train=12, test=12)
    if place == "train":
        shutil.rmtree(tmp_path / "train")
    (tmp_path / place).symlink_to(tmp_path / place)
    report = check(tmp_path)
    expected = {"unlisted": [(place,)]} | ({"no_train": [("test",)]} if place == "train" else {})
    assert found(report) == expected
    assert report["problems"][0]["wrong"] and report["pictures"] == (24 if place == "train" else 48)


def test_a_class_whose_name_is_no_utf8_is_told(tmp_path, rng):
    make(tmp_path, rng, train=12, test=12)
    name = os.fsdecode(b"caf\xe9")
    for part in ("train", "test"):
        try:
            (tmp_path / part / "cat").rename(tmp_path / part / name)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    report = check(tmp_path, out=tmp_path / "out")
    assert found(report) == {"not_utf8": [(name,)]} and report["wrong"]


def test_only_what_is_no_dataset_stops_it(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no class folders"):
        check(tmp_path)
    with pytest.raises(UsageError, match=r"Did you mean digits"):
        check("digit")
    with pytest.raises(UsageError, match=r"--alike: 0\.2 found"):
        check("digits", alike=0.2)
    (tmp_path / "cat").mkdir()
    assert set(found(check(tmp_path))) == {"one_class", "empty_class"}


# Duplicates


def encoded(image, quality):
    stream = io.BytesIO()
    image.save(stream, "jpeg", quality=quality)
    return Image.open(stream)


def test_planted_duplicates_across_parts(tmp_path, rng):
    make(tmp_path, rng, train=70, test=30)
    train = sorted((tmp_path / "train").rglob("*.jpg"))
    chosen = [train[index] for index in rng.choice(len(train), 70, replace=False)]
    exact, near, bright, small = chosen[:20], chosen[20:40], chosen[40:55], chosen[55:]
    planted: dict[str, set[tuple[str, str]]] = {"exact": set(), "near": set()}

    def plant(path, kind, save, suffix="jpg"):
        target = tmp_path / "test" / path.parent.name / f"planted-{kind}-{path.stem}.{suffix}"
        save(target)
        word = "exact" if kind == "exact" else "near"
        planted[word].add((path.relative_to(tmp_path).as_posix(), target.relative_to(tmp_path).as_posix()))

    for path in exact[:10]:
        plant(path, "exact", lambda target, path=path: shutil.copy(path, target))
    for path in exact[10:]:
        plant(path, "exact", Image.open(path).save, "png")
    for path in near:
        plant(path, "near", encoded(Image.open(path), 75).save)
    for path in bright:
        brighter = Image.eval(Image.open(path), lambda level: min(255, level * 0.85 + 20))
        plant(path, "bright", brighter.save, "png")
    for path in small:
        plant(path, "small", Image.open(path).resize((42, 42), Image.Resampling.BICUBIC).save, "png")
    kinds = found(check(tmp_path))
    assert set(kinds["exact_across"]) == planted["exact"]
    assert set(kinds["near_across"]) == planted["near"]
    assert set(kinds) == {"exact_across", "near_across"}
    assert set(found(check(tmp_path, near=False))) == {"exact_across"}


def test_duplicates_with_other_labels_are_told_apart(tmp_path, rng):
    make(tmp_path, rng)
    shutil.copy(tmp_path / "train/cat/001.jpg", tmp_path / "test/dog/copy.jpg")
    encoded(Image.open(tmp_path / "train/cat/002.jpg"), 75).save(tmp_path / "train/dog/near.jpg")
    report = check(tmp_path)
    assert found(report) == {
        "exact_other_label": [("train/cat/001.jpg", "test/dog/copy.jpg")],
        "near_other_label": [("train/cat/002.jpg", "train/dog/near.jpg")],
    }
    entry = report["problems"][0]["found"][0]
    assert (entry["labels"], entry["parts"], entry["similarity"]) == (["cat", "dog"], ["train", "test"], 1)


def test_similarity_is_the_correlation_and_blocks_lose_no_pair(rng, monkeypatch):
    thumbnails = np.stack([duplicates.thumbnail(np.asarray(picture(rng))) for _ in range(60)])
    copies = np.clip(thumbnails[:25] * rng.uniform(0.7, 1, (25, 1, 1)) + rng.normal(0, 3, (25, 32, 32)), 0, 255)
    everything = np.concatenate([thumbnails, copies.astype(np.uint8)])
    parts = np.repeat([0, 1], [60, 25])
    pairs = duplicates.near_duplicates(everything, parts)
    assert {(pair.first, pair.later) for pair in pairs} == {(index, 60 + index) for index in range(25)}
    for pair in pairs:
        flat = [everything[row].reshape(-1).astype(float) for row in (pair.first, pair.later)]
        assert pair.similarity == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-5)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    in_blocks = duplicates.near_duplicates(everything, parts)
    assert [pair[:2] for pair in in_blocks] == [pair[:2] for pair in pairs]


def test_pictures_of_one_colour_do_not_match_each_other(rng):
    flat = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 1024).reshape(-1, 32, 32)
    noisy = flat // 2 + rng.integers(0, 3, flat.shape, dtype=np.uint8)
    both = np.concatenate([flat, noisy])
    assert duplicates.flat(both).all()
    assert duplicates.near_duplicates(both, np.zeros(len(both), np.int64)) == []


def test_smooth_grounds_do_not_match_each_other(rng):
    rise = np.linspace(60, 200, 32)[None, :, None]
    horizons = np.clip(rise + rng.normal(0, 6, (15, 32, 32)), 0, 255).astype(np.uint8)
    assert np.corrcoef(horizons[0].reshape(-1), horizons[1].reshape(-1))[0, 1] > 0.97
    assert duplicates.near_duplicates(horizons, np.zeros(15, np.int64)) == []


def test_where_all_are_alike_only_what_stands_out_counts(rng):
    """As handwritten ones: a picture that is as like many others as the two are like each other is no copy."""
    base = np.asarray(picture(rng).resize((32, 32)).convert("L"), float)
    crowd = np.clip(base + rng.normal(0, 5, (120, 32, 32)), 0, 255).astype(np.uint8)
    assert np.corrcoef(crowd[0].reshape(-1), crowd[1].reshape(-1))[0, 1] > 0.97
    copy = np.clip(crowd[5] * 0.9 + rng.normal(0, 1, (32, 32)), 0, 255).astype(np.uint8)
    pairs = duplicates.near_duplicates(np.concatenate([crowd, copy[None]]), np.zeros(121, np.int64))
    assert [(pair.first, pair.later) for pair in pairs] == [(5, 120)]


def test_a_crowd_of_copies_stays_small():
    rng = np.random.default_rng(1)
    base = rng.integers(30, 220, (32, 32))
    copies = (base + rng.integers(0, 3, (300, 32, 32))).astype(np.uint8)
    parts = np.repeat([0, 1, 2], 100)
    pairs = duplicates.near_duplicates(copies, parts)
    assert len(pairs) == 99 + 2 * 100 - 1 + 3 * 100 - 1, "each with one of each part up to its own"
    assert len({(pair.later, int(parts[pair.first])) for pair in pairs}) == len(pairs)


# The command


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
    assert text.splitlines()[-1].startswith("1 thing is wrong. What next:")
    assert json.loads((out / "check.json").read_text("utf-8"))["unreadable"] == 6
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


def test_strict_json_and_exit_codes(tmp_path, rng, capsys):
    root = make(tmp_path / "pets", rng)
    assert run(["check", str(root), "--strict", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert not (tmp_path / "out" / "contact_sheet.png").exists()
    assert run(["check", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Nothing is wrong. What next: sightline train {root}"
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
