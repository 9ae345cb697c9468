"""A report's page: every number comes from a file, and the page needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import string
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from PIL import Image

from helpers.reports import page_of, says, value_at
from sightline.cli.app import run as command
from sightline.drawing import canvas
from sightline.drawing.words import ENGLISH, words_in
from sightline.reporting import words as words_room
from sightline.reporting.sections.repeating import VERSIONS
from sightline.settings import AugmentSettings, flat_fields
from sightline.settings.merge import section_kinds
from sightline.settings.text import choices


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def catalogue(language: str) -> dict[str, dict[str, str]]:
    return yaml.safe_load(Path(words_room.__file__).with_name(f"{language}.yaml").read_text("utf-8"))


def test_both_languages_have_the_same_keys_and_blanks() -> None:
    english, chinese = catalogue("en")["report"], catalogue("zh")["report"]
    assert english.keys() == chinese.keys()
    differ = {key for key, text in english.items() if blanks(text) != blanks(chinese[key])}
    assert not differ


def test_the_plots_have_the_same_blanks_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "draws_chinese", lambda: True)
    english, chinese = asdict(ENGLISH), asdict(words_in("zh"))
    assert english.keys() == chinese.keys()
    assert not {key for key, text in english.items() if blanks(text) != blanks(chinese[key]) or text == chinese[key]}


def test_every_sentence_is_used() -> None:
    room = Path(words_room.__file__).parent
    source = "\n".join(path.read_text("utf-8") for path in [*room.rglob("*.py"), *room.glob("*.j2")])
    made_up = re.compile(r"(data|part)_(train|validation|test)|(epochs|steps)_one")
    unused = [
        key for key in catalogue("en")["report"] if not re.search(f"[\"']{key}[\"']", source) and not made_up.match(key)
    ]
    assert not unused


def test_chinese_names_are_of_what_there_is_and_cover_what_a_report_always_has() -> None:
    fields = flat_fields()
    values = {str(choice) for field in fields.values() for choice in choices(field)}
    names = catalogue("zh")["names"]
    assert set(names) <= {*fields, *values, *AugmentSettings.model_fields, *VERSIONS}
    always = {*section_kinds("optimizer"), *section_kinds("schedule"), *AugmentSettings.model_fields} - {"fill"}
    assert always <= set(names)


def test_settings_are_written_with_their_chinese_names_and_as_they_are_typed() -> None:
    english, chinese = words_room.words("en"), words_room.words("zh")
    assert [english.named(name) for name in ("one_cycle", "adam", "resnet20")] == ["one_cycle", "adam", "resnet20"]
    assert [chinese.named(name) for name in ("one_cycle", "adam", "resnet20")] == [
        "单周期（one_cycle）", "Adam", "resnet20",
    ]  # fmt: skip
    assert english.setting("shift", "2") == "shift 2" and chinese.setting("shift", "2") == "平移（shift=2）"
    assert says("单周期（one_cycle）", "one_cycle") and not says("单周期（one_cycle）", "cosine")


def test_chinese_sentences_have_full_width_marks_and_one_rule_for_spaces() -> None:
    han, mark = "[一-鿿]", "[，。：；？！（）、]"
    wrong = re.compile(f"{han}[,;:?!()]|[,;:?!()]{han}|{han}[A-Za-z0-9]|[A-Za-z0-9%]{han}| {mark}|{mark} ")
    texts = {f"{part}.{key}": text for part, kept in catalogue("zh").items() for key, text in kept.items()}
    assert not {key: text for key, text in texts.items() if wrong.search(text)}


# The page, taken apart


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_number_comes_from_a_file_and_its_cell_says_which(subject: Path, lang: str) -> None:
    page, _ = page_of(subject, lang=lang)
    cells = [
        element for element in page.elements if element["tag"] in ("td", "dd", "p", "li") and "data-file" in element
    ]
    singles = [
        cell for cell in cells if "data-key" in cell and cell["tag"] in ("td", "dd") and ", " not in cell["data-key"]
    ]
    assert len(singles) > 40
    for cell in cells:
        for key in (cell.get("data-key") or "").split(", "):
            value = value_at(subject, cell["data-file"], key) if key else (subject / cell["data-file"]).is_file()
            if cell in singles:
                assert says(cell["text"], value), (cell["text"], cell["title"], value)
    nameless = [
        cell["text"]
        for cell in page.elements
        if (cell["tag"] == "dd" or (cell["tag"] == "td" and cell["place"])) and re.search(r"\d", cell["text"])
        and "data-key" not in cell and cell["text"] not in ("ResNet8",)
    ]  # fmt: skip
    # The types of a network's parts are names, which may hold a digit.
    assert not [text for text in nameless if not re.fullmatch(r"[A-Za-z]+\w*", text)]


def test_the_check_of_numbers_can_fail(trained: Path) -> None:
    assert says("97.77%", 0.9777) and not says("97.77%", 0.9779)
    assert says("95.67% to 98.87%", [0.95674, 0.98868]) and not says("95.67% to 98.87%", [0.95674, 0.9])
    assert says("1,294", 1294) and not says("1,294", 1295)
    assert says("32×4×4", [1, 32, 4, 4]) and not says("32×4×4", [1, 32, 4, 5])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_well_formed_and_needs_nothing_else(subject: Path, lang: str) -> None:
    page, text = page_of(subject, lang=lang)
    assert not page.wrong
    assert {"en": "en", "zh": "zh-Hans"}[lang] == page.elements[0]["lang"]
    assert not {"script", "link", "iframe", "object", "embed"} & {e["tag"] for e in page.elements}
    assert all(
        element["src"].startswith("data:image/png;base64,") for element in page.elements if element["tag"] == "img"
    )
    assert all(element.get("alt") for element in page.elements if element["tag"] == "img")
    style = next(element["text"] for element in page.elements if element["tag"] == "style")
    assert "url(" not in style and "@import" not in style and "http" not in re.sub(r"data:[^\"]*", "", text)
    ids = [element["id"] for element in page.elements if "id" in element]
    links = [element["href"] for element in page.elements if element["tag"] == "a"]
    assert len(ids) == len(set(ids)) and links == [f"#{name}" for name in ids]


def test_a_run_has_every_part(trained: Path) -> None:
    page, _ = page_of(trained)
    ids = [element["id"] for element in page.elements if element["tag"] == "section"]
    assert ids == [
        "question",
        "data",
        "network",
        "training",
        "results",
        "mistakes",
        "calibration",
        "cost",
        "conclusions",
        "repeat",
    ]


@pytest.mark.draws
def test_pictures_are_drawn_into_the_page(copy: Path) -> None:
    page, _ = page_of(copy)
    images = [element["src"].split(",")[1] for element in page.elements if element["tag"] == "img"]
    sizes = [Image.open(BytesIO(base64.b64decode(image))).size for image in images]
    assert len(sizes) == 6 and min(min(size) for size in sizes) > 100


# Made of what is there


def remove(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


@pytest.mark.parametrize(
    ("change", "said", "sections"),
    [
        (remove("network.json"), "no description of the network", 10),
        (remove("samples.npz"), "holds no training images", 10),
        (remove("test/mistakes.npz"), "does not hold their pictures", 10),
        (remove("test"), "has not been tested", 8),
        (remove("test", "weights/last.safetensors"), "training has not ended", 8),
        (remove("test", "weights", "results.csv", "checkpoints"), "No epoch has finished", 8),
        (remove("network.json", "samples.npz", "test", "weights", "results.csv"), "training has not ended", 8),
    ],
)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_report_is_made_of_what_is_there(
    copy: Path, change: Callable[[Path], None], said: str, sections: int, lang: str
) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    change(copy)
    page, text = page_of(copy, lang=lang, slides=True, markdown=True)
    assert sum(element["tag"] == "section" for element in page.elements) == sections
    if lang == "en":
        assert said in html.unescape(text)
    mark = "" if lang == "en" else ".zh"
    assert 8 <= len(pptx.Presentation(copy / f"slides{mark}.pptx").slides) <= 12


def test_a_test_of_an_older_version_is_told_without_what_it_lacks(copy: Path) -> None:
    path = copy / "test/metrics.json"
    metrics = json.loads(path.read_text())
    for key in ("ece", "ece_equal_mass", "mce", "brier", "reliability"):
        del metrics[key]
    path.write_text(json.dumps(metrics))
    page, _ = page_of(copy)
    assert "calibration" not in {element.get("id") for element in page.elements}


def test_half_a_row_behind_a_kill_is_no_row(copy: Path) -> None:
    whole, _ = page_of(copy)
    with (copy / "results.csv").open("a") as stream:
        stream.write("3,60,0.01,0.")
    page, _ = page_of(copy)
    seconds = [
        [e["text"] for e in p.elements if e["tag"] == "dd" and e["data-file"] == "results.csv"] for p in (whole, page)
    ]
    assert seconds[0] == seconds[1] and len(seconds[0]) == 2


DAMAGED = [
    "settings.yaml", "splits.json", "audit.json", "environment.json", "network.json", "results.csv", "samples.npz",
    "test/metrics.json", "test/predictions.npz", "test/mistakes.npz",
]  # fmt: skip


DAMAGED_TEXTS = [b"", b"{}", b"[1]", b'{"accuracy": "high", "parts": 3}', b"\xff\xfe\x00half", "cut"]


@pytest.mark.parametrize("file", DAMAGED)
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"accuracy": "high", "parts": 3}', b"\xff\xfe\x00half", "cut"]
)
def test_a_damaged_file_is_named_in_one_line(
    copy: Path, file: str, content: bytes | str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / file
    damaged = path.read_bytes()[: path.stat().st_size // 2] if isinstance(content, str) else content
    if file == "results.csv" and isinstance(content, str):
        damaged = b"epoch,step\none,two\n"
    if file == "settings.yaml" and isinstance(content, str):
        damaged = damaged.rpartition(b":")[0]  # behind the name of a setting, where what is left is no YAML
    path.write_bytes(damaged)
    (copy / "report.html").write_text("the old one")
    code = command(["report", str(copy)])
    told = capsys.readouterr().err
    if code == 0:  # an empty table is one without rows, and so is one without a whole row
        assert file in ("results.csv", "settings.yaml", "environment.json")
        assert content in DAMAGED_TEXTS[: 5 if file == "results.csv" else 4]
        return
    assert code == 4 and told.count("\n") == 1 and told.startswith("error: ") and "internal error" not in told
    assert Path(file).name in told
    assert (copy / "report.html").read_text() == "the old one"
