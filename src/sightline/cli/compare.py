"""`sightline compare`: several seeds of several sides, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json
from sightline.cli.seeds import seeds_of
from sightline.reporting.numerals import p_value
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import ComparisonResult
    from sightline.comparison.records import PairRecord, SideRecord

    CompareFlags = Any
    NONE_GIVEN: Any = None
else:
    CompareFlags = setting_flags(sections=SECTIONS, leave_out=("seed", "watch_test"))
    NONE_GIVEN = CompareFlags()

COMPARE = Group("Compare", sort_key=1)
POINTS = 100
LONGEST_IN_TABLE = 34


@Parameter(name="*")
@dataclass(frozen=True)
class ComparisonFlags:
    """What a comparison is, besides its sides and their settings."""

    data: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="DATA", help="A dataset or a folder for all. [that of the recipes]"),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="N", help="How many seeds, from 0; or which, as in 3,4,5 or 3,. [5]"),
    ] = None
    seconds: Annotated[
        float | None,
        Parameter(
            group=COMPARE,
            metavar="X",
            help="Train each side for as many steps as it does in X seconds here, validation apart; instead of "
            "--epochs or --steps, which are the same for all.",
        ),
    ] = None
    own_lengths: Annotated[
        bool | None,
        Parameter(group=COMPARE, negative="", help="Leave each recipe its own number of epochs or steps."),
    ] = None
    confidence: Annotated[
        float | None, Parameter(group=COMPARE, metavar="X", help="How sure a verdict must be. [0.95]")
    ] = None
    jobs: Annotated[
        int, Parameter(group=COMPARE, metavar="N", help="Runs at a time, each in a process of its own.")
    ] = 1
    resume: Annotated[
        Path | None,
        Parameter(
            group=COMPARE,
            metavar="DIR",
            help="Go on with this comparison; with --seeds, give it more seeds.",
        ),
    ] = None
    comparisons: Annotated[
        Path | None, Parameter(group=COMPARE, metavar="DIR", help="Folder that comparisons are kept in. [comparisons]")
    ] = None
    name: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="NAME", help="The comparison's name. [dataset and sides, counted up]"),
    ] = None


NO_COMPARISON = ComparisonFlags()


def compare(
    sides: Annotated[
        list[str] | None,
        Parameter(
            group=COMPARE,
            help="Two or more: a recipe, a network or a recipe's file, changed as in mnist-cnn:lr=0.05,batch_size=256. "
            "Or the folders of finished runs, of which those that differ in nothing but the seed are one side.",
        ),
    ] = None,
    /,
    *,
    comparison: ComparisonFlags = NO_COMPARISON,
    flags: CompareFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="No progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Compare, or go on, and print the verdict."""
    chosen = typed(comparison)
    resume = chosen.pop("resume", None)
    work: dict[str, Any] = {"jobs": chosen.pop("jobs"), "quiet": quiet}
    if "seeds" in chosen:
        work["seeds"] = seeds_of(chosen.pop("seeds"))
    chosen |= given(flags)
    with output.working():
        import sightline

        if resume is not None:
            leave_out({"SIDE": sides or None, **{flag_of(name): value for name, value in chosen.items()}},
                      "--resume", "a comparison keeps everything but its seeds")  # fmt: skip
            found = sightline.resume_comparison(resume, **work)
        else:
            found = sightline.compare(sides or [], **work, **chosen)
    if output.json:
        print_json(found.to_dict())
    else:
        show_comparison(found)


def show_comparison(result: ComparisonResult) -> None:
    """Print the table of the sides, the verdicts, and what stands behind them."""
    from rich.console import Console

    from sightline.cli.tables import table_with_notes

    rows: list[list[str]] = []
    notes: list[str] = []
    numbered = max(len(side.name) for side in result.sides) > LONGEST_IN_TABLE
    for number, side in enumerate(result.sides, start=1):
        spread = "" if side.sd is None else f" ± {POINTS * side.sd:.2f}"
        interval = side.interval
        between = f"{POINTS * interval[0]:.2f} to {POINTS * interval[1]:.2f}" if interval else "-"
        rows.append([str(number) if numbered else side.name, f"{POINTS * side.mean:.2f}{spread}", between, str(side.n)])
        notes.append(", ".join([side.name] * numbered + _costs(side)))
    confidence = f"{POINTS * result.confidence:g}%"
    table_with_notes(["side", "test accuracy, %", f"{confidence} interval", "seeds"], rows, notes)
    width = Console().width
    print()
    for pair in result.pairs:
        print(fill(f"{pair.verdict}.", width, break_on_hyphens=False, break_long_words=False))
        for line in _details(pair):
            print(fill(line, width, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False))
    print()
    looks = result.looks
    if len(looks) > 1:
        counts = ", ".join(map(str, looks))
        print(fill(f"Looked at with {counts} seeds: adding seeds after a look finds differences more often than the "
                   "confidence says.", width))  # fmt: skip
    images = f"{result.test_images:,} test images"
    print(f"{images}, every side on the same. Written to {result.folder}")


def _costs(side: SideRecord) -> list[str]:
    costs = [side.length]
    if side.seconds_per_epoch is not None:
        costs.append(f"{side.seconds_per_epoch:.3g} s an epoch")
    costs.append(f"{side.train_seconds:.3g} s a run")
    if side.parameters is not None:
        costs.append(f"{side.parameters:,} parameters")
    if side.macs is not None:
        costs.append(f"{side.macs / 1e6:,.3g} M MACs")
    if side.latency_ms is not None:
        costs.append(f"{side.latency_ms:.2g} ms a picture")
    return costs


def _details(pair: PairRecord) -> list[str]:
    lines: list[str] = []
    if pair.p_value is not None and pair.interval is not None:
        low, high = pair.interval
        text = f"difference {POINTS * pair.difference:+.2f} points, {POINTS * pair.confidence:.3g}% interval "
        text += f"{POINTS * low:+.2f} to {POINTS * high:+.2f}, p-value {p_value(pair.p_value)}"
        if pair.adjusted_p_value is not None and pair.adjusted_p_value != pair.p_value:
            text += f", by Holm {p_value(pair.adjusted_p_value)}"
        lines.append(f"{text} ({pair.test} test, n = {' and '.join(map(str, pair.counts))})")
    low, high = POINTS * pair.bootstrap.low, POINTS * pair.bootstrap.high
    lines.append(f"these networks on other images of the same source: {low:+.2f} to {high:+.2f} points (bootstrap)")
    if pair.mcnemar:
        p_values = ", ".join(p_value(row.p_value) for row in pair.mcnemar)
        lines.append(f"McNemar's exact test, seed by seed: p-values {p_values}")
    return lines
