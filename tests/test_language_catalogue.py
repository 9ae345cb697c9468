"""The Chinese catalogue has every English text that the command line can print, and no other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from string import Formatter

import pytest

import sightline
from helpers.translations import error_texts, texts_of
from sightline.cli.app import COMMANDS, GROUPS, run
from sightline.data.catalog import DATASETS
from sightline.errors import with_reasons
from sightline.language import catalogue
from sightline.language.catalogue import BLANK, sections

ERROR_PARTS = ("subject", "found", "expected", "advice")
PROBE = "‹{}›"
# Names, paths and numbers that subjects can be.
NO_WORDS = re.compile(r"(--|‹).*|[A-Z]+|[a-z_]+(: ‹.*)?|.* labels|.* images|space: .*")
# Pieces of texts, which are only printed with others around them.
PIECES = {
    "about {}", "more than {}", "of {}", "{} seeds", "not distinguishable", "no verdict", "no spread", "one seed",
    "equal in every seed", "recording pays off from {}, compiling from {}", "{} to {}", "{} to {}, by its logarithm",
    "stopped early", "failed ({})", "{} of {}", "the {} class names", "{} operation", "{} operations",
    "no flips, since", "warning: flips as requested, but", "warning: upside down as requested, but",
    "summed over its channels for gray", "divided among three channels for colour", "{} and {} more", "{} {}s",
    "and", "or", "{} x {}", "to", "{} from {}", "cpu, {} thread", "cpu, {} threads", "{} interval", "a label file",
    "replace",
}  # fmt: skip
# Texts whose parts only a run can know: of other programs, or joined from pieces that the source has.
COMPOSED = {
    "found": """
'{}' is not known
arrays and an ImageData have parts of their own
it lacks {}
it has the extra {}
{} is {} instead of {}
{} is for {}
its picture is no text
its label is no text
it refers to data in another file
it needs operators that are not ONNX's own
it holds functions, sparse tensors or a training graph
it needs the operator {}, which is not ONNX's own
its operator {} holds a graph or a sparse tensor
it holds 'a', which is a path that leads out of it
it cannot be read (permission denied)
it cannot be read (Permission denied)
it cannot be read (is a directory)
it cannot be read: input/output error
it cannot be written (no space left on device)
the download cannot be written (No space left on device)
it cannot be written (read-only file system)
it cannot be written (file name too long)
it cannot be decoded: image file is truncated
it cannot be decoded: broken data stream when reading image file
it cannot be decoded: unrecognized data stream contents when reading image file
""",
    "expected": """
a dataset's name or the path of pictures
a number greater than {}
a number greater than or equal to {}
a number less than {}
{} or {}
a number less than or equal to {}
a valid integer
a valid number
a finite number
a valid string
a valid boolean
a valid tuple
at most {} items
at least {} items
at least {} item
a number
a whole number
yes or no
a value of another type
only the model has {}
only the data has {}
a picture in each
a label in each
only the model has {}; only the data has {}
auto, cpu, mps, cuda or a numbered one such as cuda:0
""",
    "advice": """
See {} for all names.
See {} in Python for all names.
See the first line of {} for all names.
See --model in sightline train --help for all names.
See sightline recipes, or --model in sightline train --help, for all names.
Run sightline test {}
""",
    "subject": """
command
settings
{}, seed {}
fold {}: {}
""",
    "notes": """
train has no image of {}
validation has no image of {}
test has no image of {}
train {}
val {}
test {}
1 groups have pictures in val and in test, as the split column has them: a test may flatter
exact
near
gray
partly transparent
in CMYK colors
deeper than 8 bits
in palette colors
black and white only
equal
equal, {} and {}
{}% similar, {} and {}
no suffix
{} no suffix
{} pictures have a format that is not read ({})
{} picture has a format that is not read ({})
{} files do not have the suffix of a picture ({})
{} file does not have the suffix of a picture ({})
eagerly
compiled
compiled, as a CUDA graph
as a CUDA graph
mixup or cutmix
{} from '{}'
image from 'a'
label from 'a'
split from 'a'
group from 'a'
a column
parent
all
{}: up to {} trials
{}: up to {} trials or {} s
{} epoch
{} epochs
{} step
{} steps
validation accuracy reached {}
test accuracy reached {}
no better epoch in {}
validation {} -> {}
'a' and 'b'
""",
    "results": """
then
all
train
val
test
done
running
interrupted
diverged
Wrong
before
Worth knowing
embedded
generated
not measured here
paired t
Welch's t
validation
after
test images of {}
random pictures, since {} knows no test images
{} complete
{} failed
random pictures, since the run's test images are not at hand ({})
{} stopped early
{} ± {}: {}
no settings.yaml, so no run began in it
ok
changed
missing
not listed
{} ok
{} changed
{} missing
{} not listed
""",
}
MARKS = (", ", "; ", ": ", ".", " to ")
# What a translation would have where a text of another one's form was taken for it.
ENGLISH = re.compile(r"(?<![\w'`“])(the|an?|of|on|is|are|has|it|its|that|which|with|than|such|by|more|not|and)(?!\w)")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The texts of the catalogue that were looked up, by section."""
    found: dict[str, set[str]] = defaultdict(set)
    names = {id(section): name for name, section in sections("zh").items()}
    match = catalogue.Section.match

    def watched(self: catalogue.Section, english: str) -> tuple[str, list[str]] | None:
        answer = match(self, english)
        if answer is not None:
            found[names[id(self)]].add(answer[0])
        return answer

    monkeypatch.setattr(catalogue.Section, "match", watched)
    return found


def probed(text: str) -> str:
    """Fill the blanks of a text, each with another sign."""
    pieces = text.split(BLANK)
    return pieces[0] + "".join(PROBE.format(number) + piece for number, piece in enumerate(pieces[1:]))


def unknown(section: str, texts: dict[str, str], skip: Callable[[str], object] = lambda text: False) -> list[str]:
    """The texts that the catalogue does not have, with their places; the others keep all that is filled in."""
    missing: list[str] = []
    for text, place in texts.items():
        translation = sections("zh")[section].find(probed(text))
        if translation is None:
            missing += [] if text in PIECES or skip(text) else [f"{place}: {text}"]
        else:
            assert all(PROBE.format(number) in translation for number in range(text.count(BLANK))), text
            assert ENGLISH.search(translation) is None, f"{text}: {translation}"
    return missing


def composed(section: str) -> dict[str, str]:
    """The texts of a section that the test lists."""
    marks = MARKS if section == "results" else ()
    return dict.fromkeys([*COMPOSED.get(section, "").strip().splitlines(), *marks], "composed")


@pytest.mark.parametrize("part", ERROR_PARTS)
def test_every_part_of_an_error_is_known(part: str, used: dict[str, set[str]]) -> None:
    texts = error_texts(part)
    assert len(texts) > (30 if part == "subject" else 100)
    assert unknown(part, texts, NO_WORDS.fullmatch if part == "subject" else lambda text: text == "{}: {}") == []
    assert unknown(part, composed(part)) == []
    assert sorted(set(sections("zh")[part].texts) - used[part]) == []


@pytest.mark.parametrize("section", ["notes", "results"])
def test_every_line_is_known(section: str, used: dict[str, set[str]]) -> None:
    texts = texts_of(section)
    assert len(texts) > 100
    assert unknown(section, texts) == []
    assert unknown(section, composed(section)) == []
    assert sorted(set(sections("zh")[section].texts) - used[section]) == []


def test_pictures_are_named_with_their_reasons() -> None:
    reasons = {
        "a (1).png": "it is empty", "b.png": "it cannot be read (permission denied)", "c.png": "it is odd",
        **{f"{n}.png": "it is not a file" for n in range(20)}, "d": "it is empty", "e.JPG": "it is empty",
    }  # fmt: skip
    found = sections("zh")["found"].find(f"25 unreadable pictures: {with_reasons(list(reasons.items()))}")
    assert found is not None
    first = "a (1).png（它是空的）、b.png（无法读取（没有权限））、c.png (it is odd)、0.png（它不是文件）、"
    assert found.startswith(f"有 25 张无法读取的图片：{first}")
    assert found.endswith("、16.png（它不是文件）等（另有 5 张：3 张 .png、1 张没有扩展名、1 张 .jpg）")
    note = sections("zh")["notes"].find("skipped 1 unreadable: a.png (it is empty)")
    assert note == "跳过了 1 张无法读取的图片：a.png（它是空的）"


def test_every_title_is_known() -> None:
    titles = {dataset.title for dataset in DATASETS.values()}
    titles |= {str(recipe.about.get("title", "")) for recipe in sightline.list_recipes()}
    assert titles == set(sections("zh")["titles"].texts)


def test_the_whole_help_is_known(used: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    missing: set[str] = set()
    find = catalogue.Section.find

    def watched(self: catalogue.Section, english: str, depth: int = 0) -> str | None:
        answer = find(self, english, depth)
        if answer is None and depth == 0:
            missing.add(english)
        return answer

    monkeypatch.setattr(catalogue.Section, "find", watched)
    pages = [*(command.name for command in COMMANDS), *GROUPS]
    for words in (["--help"], *([*page.split(), flag] for page in pages for flag in ("--help", "--help-all"))):
        assert run([*words, "--lang", "zh"]) == 0
    sentences = {text for text in missing if " " in text and not text.startswith(("sightline ", "Usage: "))}
    # Defaults of several kinds: names and values.
    assert {text for text in sentences if not re.fullmatch(r"([a-z-]+(, [a-z-]+)*: \S+(; )?)+", text)} == set()
    assert sorted(set(sections("zh")["help"].texts) - used["help"]) == []


@pytest.mark.parametrize("section", sections("zh"))
def test_translations_are_well_formed(section: str) -> None:
    for english, chinese in sections("zh")[section].texts.items():
        chinese.encode("gbk")  # a Windows terminal's
        if BLANK in english:
            fields = [(name, how) for _, name, how, _ in Formatter().parse(chinese) if name is not None]
            assert {int(name) for name, _ in fields} == set(range(english.count(BLANK))), english
            kinds = {"", "text", "texts", "list", "clauses", *sections("zh")}
            assert {how for _, how in fields} <= kinds, english
        # Chinese marks between Chinese characters, and no space at them.
        assert not re.search(r"[一-鿿][,;:?!]|[一-鿿]\.(\s|$)|[，。；：？！、] \S", chinese), chinese
        assert not re.search(r"[一-鿿][A-Za-z0-9]|[A-Za-z0-9][一-鿿]", re.sub(r"\{[^}]*\}", "", chinese)), chinese
