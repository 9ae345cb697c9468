"""Every place that makes an error keeps to the form that errors.py describes.

The program's source is read, not run (helpers/sources.py). What only a run can know becomes the GAP, which fits
everywhere.
"""

from __future__ import annotations

import re

import pytest

from helpers.keywords import keywords
from helpers.sources import GAP, PARTS, Program, whole_program
from sightline.errors import DataError, UsageError, needs, unknown
from sightline.installation import install_command
from sightline.keywords import in_python
from sightline.settings import flat_fields
from sightline.settings.text import choices

SHELL_COMMAND = re.compile(r"(sightline|pip) [^,]*")
KEYWORD = re.compile(r"""\b(\w+)=("?)([^\s"'.,:]+)\2""")
PROPER_NAMES = ("Sightline",)
NO_NOUN_PHRASE = re.compile(
    r"(it|they|there|that|what|use|give|say|name|put|add|make|see|run|did|is|are|was|should|must|needed|known|"
    r"greater|less|and|or|nothing|as) |.*( is needed| are needed|should be)"
)


def offence(part: str, text: str) -> str:
    """What is wrong with a part's text, or nothing."""
    first = text.split(" ", maxsplit=1)[0]
    begins_with_capital = first[:1].isupper() and not first[1:2].isupper() and first not in PROPER_NAMES
    wrong = {
        "subject": [],
        "found": [
            (not text, "is empty"),
            (text.endswith("."), "ends in a period"),
            ("; " in text, "joins clauses by a semicolon"),
        ],
        "expected": [
            (begins_with_capital, "begins with a capital letter"),
            (text.endswith("."), "ends in a period"),
            ("; " in text, "joins clauses by a semicolon"),
            (NO_NOUN_PHRASE.match(f"{text} ") is not None, "is no noun phrase"),
        ],
        "advice": [
            (bool(text) and not (text[0].isupper() or text.startswith(GAP)), "does not begin with a capital letter"),
            (bool(text) and not text.endswith((".", "?", GAP)), "does not end in a period or a question mark"),
        ],
    }
    return next((why for is_so, why in wrong[part] if is_so), "")


def offenders(program: Program) -> list[str]:
    """Each text that breaks a rule, with its place."""
    return [
        f"{place}: {part} {why}: {text}"
        for place, parts in program.places()
        for part, texts in parts.items()
        for text in texts
        if (why := offence(part, text))
    ]


@pytest.fixture(scope="module")
def program() -> Program:
    return whole_program()


def test_every_error_is_a_sentence(program: Program) -> None:
    found = offenders(program)
    assert not found, "\n".join(found)


def test_the_walk_sees_every_kind_of_error_and_what_it_says(program: Program) -> None:
    assert {"UsageError", "ImageSizeError", "Interrupted", "ArrayError", "OutOfMemoryError"} <= (program.kinds)
    seen = list(program.places())
    assert len(seen) > 300
    known = [text for _, parts in seen for part, texts in parts.items() if part != "subject" for text in texts]
    assert sum(text != GAP for text in known) > 0.9 * len(known)
    # Through a parameter, a constant of another module, and a function's answer.
    advice = [text for _, parts in seen for text in parts.get("advice", [])]
    assert "Use --form small or larger images." in advice
    assert "It is a Sightline checkpoint. Give its run folder." in advice


def test_no_message_has_a_flag_in_python(program: Program) -> None:
    rendered: set[tuple[str, str]] = set()
    for place, parts in program.places():
        if not place.startswith("cli/"):  # whose errors are not seen in Python
            messages = [f"{text}: found" for text in parts.pop("subject", [])]
            messages += [f"subject: {text}" for texts in parts.values() for text in texts]
            # A flag whose name only a run knows is as good as any.
            rendered |= {(place, in_python(message.replace(f"--{GAP}", "--lr"))) for message in messages}
    assert not [found for found in rendered if "--" in SHELL_COMMAND.sub("", found[1])]
    # What is there instead are keywords and values that Python takes.
    pairs = {match.groups() for _, text in rendered for match in KEYWORD.finditer(text)}
    assert {("force", "", "True"), ("out", "", "FILE"), ("form", '"', "small"), ("port", "", "0")} <= pairs
    for name, quote, value in pairs:
        assert name in keywords(), name
        few = choices(flat_fields()[name]) if name in flat_fields() else ()
        assert not few or value in (*map(str, few), GAP), (name, value)
        assert bool(quote) == (value not in ("True", "False") and not value.isupper() and not value.isdecimal())


GOOD = """
class OwnError(UsageError):
    pass
class UsageError(SightlineError):
    pass
def check(path, count):
    expected = f"a whole number, {count} or more" if count else ""
    raise OwnError(str(path), f"{count} found", expected, advice="Did you mean 3?")
"""


def test_a_good_place_is_no_offender() -> None:
    program = Program({"made/up.py": GOOD})
    assert len(list(program.places())) == 1
    assert offenders(program) == []


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ('OwnError("a", "it is bad.")', "ends in a period"),
        ('OwnError("a", "bad; worse")', "semicolon"),
        ('OwnError("a", "bad", "It is good")', "capital"),
        ('OwnError("a", "bad", "a good one.")', "ends in a period"),
        ('OwnError("a", "bad", "it is good")', "noun phrase"),
        ('OwnError("a", "bad", "needed")', "noun phrase"),
        ('OwnError("a", "bad", f"{path} is needed")', "noun phrase"),
        ('OwnError("a", "bad", expected=LAYOUT)', "noun phrase"),
        ('OwnError("a", "bad", advice="use another.")', "capital"),
        ('OwnError("a", "bad", advice=f"Use {path} or")', "question mark"),
        ('OwnError("a", "bad", advice="Good." if path else "bad.")', "capital"),
        ('OwnError("a", "bad", advice=path and "Good." or "Bad")', "question mark"),
        ('explain("use another")', "capital"),
    ],
)
def test_a_bad_place_is_reported_with_its_line(call: str, reason: str) -> None:
    source = f"""LAYOUT = "use folders"
def explain(advice):
    raise OwnError("a", "bad", advice=advice)
def bad(path):
    raise {call}
"""
    (found,) = offenders(Program({"errors.py": GOOD, "made/up.py": source}))
    assert reason in found
    assert found.startswith("made/up.py:3: " if "explain" in call else "made/up.py:5: ")


def test_a_message_has_its_parts_in_one_line() -> None:
    assert str(DataError("data", "it is\n  empty")) == "data: it is empty"
    assert str(DataError("data", "it is empty", "a picture")) == "data: it is empty (expected a picture)"
    assert str(DataError("data", "it is empty", advice="Fill it.")) == "data: it is empty. Fill it."
    whole = DataError("data", "it is empty", "a picture", "Fill it.")
    assert str(whole) == "data: it is empty (expected a picture). Fill it."


def test_helpers_keep_to_the_form() -> None:
    near = unknown("--model", "resnte", ["cnn", "resnet"])
    assert near.line() == "--model: 'resnte' is not known (expected one of cnn, resnet). Did you mean resnet?"
    names = ["resnet", *map(str, range(10))]
    many = unknown("--model", "resnte", names, listed_by="sightline recipes")
    assert many.line() == "--model: 'resnte' is not known. Did you mean resnet?"
    none = unknown("--model", "xyz", names, listed_by="sightline recipes")
    assert none.line() == "--model: 'xyz' is not known. See sightline recipes for all names."
    with pytest.raises(UsageError) as missing, needs("export", "export", "no_such", why="writes files"):
        import no_such  # noqa: F401  # pyright: ignore
    advice = f"Run {install_command('export')} to install it."
    assert str(missing.value) == f"export: no_such, which writes files, is not installed. {advice}"
    for error in (near, many, none, missing.value):
        assert not any(offence(part, getattr(error, part)) for part in PARTS)
