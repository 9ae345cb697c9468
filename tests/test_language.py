"""Which language the command line speaks, what stays English, and how texts are found and laid out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

import sightline as sl
from sightline import language
from sightline.cli.app import run
from sightline.drawing import canvas
from sightline.drawing.words import ENGLISH, spoken
from sightline.errors import UsageError
from sightline.language.catalogue import Section
from sightline.language.columns import padded, wrapped

VARIABLES = ("SIGHTLINE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture(autouse=True)
def _no_language_is_left(monkeypatch: pytest.MonkeyPatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    language.reset()


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        ([], {}, "en"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "en_US.UTF-8"}, "en"),
        ([], {"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "SIGHTLINE_LANG": "en"}, "en"),
        (["train", "--lang", "zh"], {"SIGHTLINE_LANG": "en"}, "zh"),
        (["train", "--lang=en"], {"SIGHTLINE_LANG": "zh"}, "en"),
        (["predict", "--", "--lang", "zh"], {}, "en"),
        (["train", "--lang"], {}, "en"),
    ],
)
def test_the_flag_goes_before_the_variable_and_that_before_the_system(
    words: list[str], variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    language.choose(words)
    assert language.asked() == expected


def test_another_language_is_refused_in_the_one_that_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "--lang", "fr"]) == 2
    assert capsys.readouterr().err == "error: --lang: 'fr' is not known (expected one of en, zh)\n"
    monkeypatch.setenv("SIGHTLINE_LANG", "fr")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert run(["runs"]) == 2
    assert capsys.readouterr().err == "错误：SIGHTLINE_LANG：“fr”不是已知的名称（应为 en、zh 之一）\n"


@pytest.mark.parametrize("words", [["--lang", "zh", "--help"], ["--help", "--lang=zh"], ["--lang=zh"]])
def test_the_flag_may_come_before_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("用法：sightline COMMAND ...")
    assert language.asked() == "en"  # and nobody who calls the package afterwards is spoken to in Chinese


@pytest.mark.parametrize(
    ("encoding", "chinese"), [("utf-8", True), ("gbk", True), ("ascii", False), ("latin-1", False)]
)
def test_a_terminal_without_chinese_is_spoken_to_in_english(encoding: str, chinese: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "LANG": "zh_CN", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "sightline", "train", "--modle", "cnn"], env=environment, cwd=tmp_path, check=False,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    line = done.stderr.decode(encoding)
    assert line.startswith("错误：--modle：sightline train 没有这个参数。" if chinese else "error: --modle: ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["foo"], "错误：命令：“foo”不是已知的名称。所有名称见 sightline --help。\n"),
        (["train", "digits", "--lr", "x"], "错误：--lr：实际为“x”（应为数）\n"),
        (["train", "digits", "--lr=-1"], "错误：--lr：实际为“-1”（应为大于 0 的数）\n"),
        (["train", "digits", "--sampler", "odd"], "错误：--sampler：实际为“odd”（应为 'shuffle' 或 'balanced'）\n"),
        (["train", "--add-epochs", "2"], "错误：--add-epochs：没有与 --resume 一起给出。请加上 --resume RUN，"),
        (["train", "digits", "--model", "resnte"], "错误：--model：“resnte”不是已知的名称。是否指 resnet、"),
        (["predict", "no such model", "x.png"], "错误：no such model：没有这个运行文件夹或模型文件\n"),
        (["runs", "no"], "错误：no：没有这个文件夹（应为"),
    ],
)  # fmt: skip
def test_errors_are_chinese_lines_with_the_same_exit_code(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(words)
    assert capsys.readouterr().err.startswith("error: ")
    assert run([*words, "--lang", "zh"]) == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_an_error_that_the_catalogue_lacks_stays_english_as_a_whole() -> None:
    language.choose(["--lang", "zh"])
    assert (
        language.told(UsageError("--lr", "it is odd", "one of a, b")) == "error: --lr: it is odd (expected one of a, b)"
    )
    with pytest.raises(sl.UsageError, match="'resnte' is not known"):
        sl.train("digits", model="resnte")


def test_json_and_run_records_are_the_same_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = {}
    for tongue in language.LANGUAGES:
        name = f"--name={tongue}"
        assert run(["train", "digits", "--epochs", "1", "--json", name, "--lang", tongue]) == 0
        told = capsys.readouterr()
        result = json.loads(told.out)
        kept[tongue] = ({k: v for k, v in result.items() if k not in ("run", "train_seconds")}, told.err.splitlines())
    assert kept["en"][0] == kept["zh"][0]
    assert len(kept["en"][1]) == len(kept["zh"][1])
    assert all(any("一" <= character <= "鿿" for character in line) for line in kept["zh"][1])
    for file in ("settings.yaml", "splits.json", "audit.json", "test/metrics.json"):
        assert Path("runs/en-001", file).read_bytes() == Path("runs/zh-001", file).read_bytes()


def test_results_are_chinese_in_straight_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "digits", "--epochs", "1", "--name", "one", "--lang", "zh"]) == 0
    facts = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in facts] == ["运行", "网络", "训练", "验证集", "测试集"]
    assert len({cell_len(line) - len(line.split(maxsplit=1)[1]) for line in facts if line.isprintable()} - {0}) >= 1
    starts = {cell_len(line[: line.index(line.split(maxsplit=1)[1])]) for line in facts}
    assert len(starts) == 1
    assert run(["runs", "--lang", "zh"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["运行", "数据", "网络", "验证集", "测试集", "轮数", "用时", "日期"]
    assert cell_len(rule) >= max(cell_len(line) for line in (head, *rows)) - 1


def test_the_report_follows_the_language_that_is_spoken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "digits", "--epochs", "1", "--name", "one", "--quiet"]) == 0
    monkeypatch.setenv("SIGHTLINE_LANG", "zh")
    assert run(["report", "runs/one-001"]) == 0
    assert run(["report", "runs/one-001", "--lang", "en"]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["runs/one-001/report.zh.html", "runs/one-001/report.html"]


@pytest.mark.parametrize("installed", [True, False])
def test_plots_of_commands_follow_too_where_there_is_a_font(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "draws_chinese", lambda: installed)
    assert spoken() == ENGLISH
    language.choose(["--lang", "zh"])
    assert spoken().epoch == ("轮次" if installed else "epoch")


# How a text is found

KNOWN = {
    "{} is {}": "{1}是{0}",
    "{} is not known": "没有 {0}",
    "file {} has {} rows": "{0} 有 {1} 行",
    "a {} b {} c": "{0:text}和{1}",
    "one of {}": "{0:list} 之一",
    "empty": "空",
    "x": "叉",
}


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("empty", "空"),
        ("it is not known", "没有 it"),  # the text with the most words of its own
        ("file of 3 rows.csv has 7 rows", "of 3 rows.csv 有 7 行"),
        ("file a has b has 7 rows", "a 有 b has 7 行"),  # a blank ends where the text can go on; nothing is lost
        ("a x b x c", "叉和x"),
        ("a file x has 2 rows b y c", "x 有 2 行和y"),
        ("one of a, b or c", "a、b 或 c 之一"),
        ("one of {0}", "{0} 之一"),  # braces in what is filled in are no blanks
        ("a  b y c", None),
        ("empty; x", "空；叉"),
        ("empty; y", None),
        ("  empty, x,", "  空、叉，"),  # one line of several
        ("not: a file is not known", None),  # no name ends like that
        ("", None),
    ],
)
def test_a_text_is_found_with_what_is_filled_in(english: str, chinese: str | None) -> None:
    assert Section(KNOWN, {}).find(english) == chinese


def test_a_long_text_takes_no_long_time() -> None:
    section = Section({f"{{}} a{number} {{}} a {{}} a {{}} b {{}}": "{0}{1}{2}{3}{4}" for number in range(300)}, {})
    began = time.perf_counter()
    assert section.find("a " * 5000) is None
    assert time.perf_counter() - began < 5


# How it is laid out


def test_lines_count_cells_and_break_where_chinese_may() -> None:
    text = "继续此次运行，可用 --add-epochs 延长（例如 5 轮），或用 --steps。文件名为 a-very-long-name-of-a-file.png。"
    for cells in range(24, 90):
        lines = wrapped(text, cells, initial_indent="- ", subsequent_indent="  ")
        assert max(cell_len(line) for line in lines) <= max(cells, 34)
        assert "".join("".join(lines).split()) == "-" + "".join(text.split())
        assert not any(line.strip()[0] in "，。）" for line in lines)
        for word in ("--add-epochs", "--steps", "a-very-long-name-of-a-file.png"):
            assert any(word in line for line in lines)
    assert wrapped("", 20) == []
    assert cell_len(padded("中文", 10)) == 10
