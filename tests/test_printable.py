"""Names from outside: what acts on a terminal is shown, long ones are shortened, and lists keep them whole."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sightline.cli.app import run
from sightline.cli.output import print_json
from sightline.cli.tables import facts, table, table_with_notes
from sightline.errors import DataError, with_reasons
from sightline.printable import printable, shortened
from sightline.reporting.blocks import Paragraph, Report, Section
from sightline.reporting.html import page
from sightline.reporting.markdown import markdown
from sightline.reporting.words import words
from test_cli_output import asked, pictures  # noqa: F401 (fixtures)

ACTS = {
    "\x1b[2J": r"\x1b[2J",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\nb\r\tc": r"a\nb\r\tc",
    "\x9b31m": r"\x9b31m",
    "cat\u202egpj.exe": r"cat\u202egpj.exe",
    "\u2066x\u2069\u200f": r"\u2066x\u2069\u200f",
    "a\u2028b\u2029c\x85d": r"a\u2028b\u2029c\x85d",
    "\ufeffbom": r"\ufeffbom",
    "caf\udce9.png": r"caf\udce9.png",
    "\U000e0041": r"\U000e0041",
}
SHOWN = ["猫", "é", "e\u0301", "a b", "\u3000", "\xa0", "👨\u200d👩", "می\u200cخواهم", "שלום", r"C:\new", "[red]"]


@pytest.mark.parametrize(("name", "shown"), ACTS.items(), ids=map(ascii, ACTS))
def test_what_would_act_is_shown(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize("name", SHOWN, ids=map(ascii, SHOWN))
def test_what_only_shows_itself_stays(name):
    assert printable(name) == name


@given(st.text(st.characters(codec=None)))
def test_nothing_is_left_that_acts(text):
    shown = printable(text)
    assert printable(shown) == shown
    shown.encode("utf-8")
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not {unicodedata.bidirectional(c) for c in shown} & bidi
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.text(max_size=90), st.integers(8, 60))
def test_a_shortened_name_fits_and_keeps_its_ends(name, longest):
    shown = shortened(name, longest)
    whole = printable(name)
    if sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in whole) <= longest:
        assert shown == whole
    else:
        first, _, last = shown.partition("…")
        assert len(shown) <= longest and whole.startswith(first) and whole.endswith(last)


def test_a_long_name_takes_forty_columns():
    assert cell_len(shortened("x" * 180)) == 40
    assert cell_len(shortened("猫" * 180)) in (39, 40)
    assert shortened("x" * 39 + "y") == "x" * 39 + "y"


def test_errors_and_tables_show_names(capsys):
    assert str(DataError("a\x1b[31m\nb.png", "it has\ntwo  lines")) == r"a\x1b[31m\nb.png: it has two lines"
    for name, shown in ACTS.items():
        table(["class", "n"], [[name, "1"]])
        table_with_notes(["class", "n"], [[name, "1"]], [f"note {name}"])
        facts([("worst class", name)])
        out = capsys.readouterr().out
        assert out.count(shown) >= 3 and "\x1b" not in out and "\u202e" not in out


def test_json_escapes_and_gives_back_the_exact_name(capsys):
    for name in [*ACTS, *SHOWN]:
        print_json({"name": name})
        out = capsys.readouterr().out
        assert json.loads(out)["name"] == name
        assert printable(out.removesuffix("\n")) == out.removesuffix("\n")


@pytest.mark.parametrize("name", ACTS, ids=map(ascii, ACTS))
def test_reports_show_names(name):
    report = Report(name, name, "en", [Section("a", name, [Paragraph.of(name)])], "me")
    for text in (markdown(report, words("en"), None), page(report, words("en"))):
        assert [c for c in name if printable(c) != c and c not in "\n\t" and c in text] == []


def test_unreadable_pictures_are_listed_with_reasons_and_the_rest_by_ending():
    bad = [(f"{n}.{'png' if n % 3 else 'JPG'}", "it is empty") for n in range(24)]
    told = with_reasons(bad)
    assert told.startswith("0.JPG (it is empty), 1.png (it is empty), ")
    assert told.endswith("19.png (it is empty) and 4 more (3 .png, 1 .jpg)")
    assert with_reasons(bad[:1]) == "0.JPG (it is empty)"
    assert with_reasons([*bad[:20], ("x", "y")]).endswith("and 1 more (1 without an ending)")


class Stdin:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize(
    ("flags", "content", "paths"),
    [
        ([], "a.png\nb c.png\r\n\n  \nd.png", ["a.png", "b c.png", "d.png"]),
        ([], "ls\u2028x.png\nnel\x85x.png\nff\x0cx\x1cy.png\n", ["ls\u2028x.png", "nel\x85x.png", "ff\x0cx\x1cy.png"]),
        ([], "\ufeffa.png\r\n", ["a.png"]),
        (["-0"], "a\nb.png\0c.png\0", ["a\nb.png", "c.png"]),
        (["--null"], " a.png\0", [" a.png"]),
        ([], "cafe\u0301.png\ncaf\u00e9.png\n", ["cafe\u0301.png", "caf\u00e9.png"]),
    ],
)
def test_a_list_on_stdin_ends_its_lines_where_files_names_do(flags, content, paths, asked, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(sys, "stdin", Stdin(content.encode()))
    assert run(["predict", "m", *flags, "-", "--json"]) == 0
    assert asked == [paths]
    assert [answer["path"] for answer in json.loads(capsys.readouterr().out)] == paths


def test_names_that_are_not_utf8_are_read_from_a_list(asked, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sys, "stdin", Stdin(b"caf\xe9.png\n"))
    assert run(["predict", "m", "-"]) == 0
    assert asked == [["caf\udce9.png"]]


@pytest.mark.parametrize("content", [b"a.png\0b.png\0", "a.png\n".encode("utf-16")])
def test_a_list_of_another_kind_is_refused(content, asked, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    assert run(["predict", "m", "-"]) == 2
    assert (
        "the list on stdin: it has NUL characters (expected one path per line). Add --null" in capsys.readouterr().err
    )


def test_cells_that_a_spreadsheet_would_compute_are_text_on_request(asked, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.png", "+a.png", "-b.png", "@c.png", "d=.png"]
    for name in names:
        (tmp_path / name).touch()
    words = ["predict", "m", "--format", "csv", "--", *names]
    assert run(words) == 0
    assert [row["path"] for row in _rows(capsys)] == names
    assert run([*words[:2], "--spreadsheet", *words[2:]]) == 0
    assert [row["path"] for row in _rows(capsys)] == ["'=1+1.png", "'+a.png", "'-b.png", "'@c.png", "d=.png"]
    assert run(["predict", "m", "--spreadsheet", "d=.png"]) == 2
    assert "--spreadsheet: it is given without --format csv" in capsys.readouterr().err


def _rows(capsys):
    text = capsys.readouterr().out
    return list(csv.DictReader(io.StringIO(text[text.index("path,") :])))
