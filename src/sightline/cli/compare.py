"""`sightline compare`: several seeds of each contestant, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json, say, show
from sightline.cli.seeds import seeds_of
from sightline.language import said
from sightline.language.columns import wrapped
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
    """The settings of a comparison, besides its contestants and their settings."""

    data: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="DATA", help="Dataset or folder for all contestants. [that of the recipes]"),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="N", help="Number of seeds, or a list of them, as in 3,4,5 (3, for one). [5]"),
    ] = None
    seconds: Annotated[
        float | None,
        Parameter(
            group=COMPARE,
            metavar="X",
            help="Give each contestant the number of steps that it completes in X seconds on this machine, without "
            "validation; instead of --epochs or --steps.",
        ),
    ] = None
    own_lengths: Annotated[
        bool | None,
        Parameter(group=COMPARE, negative="", help="Train each recipe for its own number of epochs or steps."),
    ] = None
    confidence: Annotated[
        float | None, Parameter(group=COMPARE, metavar="X", help="Confidence level of the verdicts. [0.95]")
    ] = None
    jobs: Annotated[int, Parameter(group=COMPARE, metavar="N", help="Runs in parallel, each in its own process.")] = 1
    resume: Annotated[
        Path | None,
        Parameter(
            group=COMPARE,
            metavar="DIR",
            help="Continue this comparison; --seeds adds seeds to it.",
        ),
    ] = None
    comparisons: Annotated[
        Path | None, Parameter(group=COMPARE, metavar="DIR", help="Folder for comparisons. [comparisons]")
    ] = None
    name: Annotated[
        str | None,
        Parameter(group=COMPARE, metavar="NAME", help="Name of the comparison. [dataset and contestants, numbered]"),
    ] = None


NO_COMPARISON = ComparisonFlags()


def compare(
    sides: Annotated[
        list[str] | None,
        Parameter(
            group=COMPARE,
            name="contestant",
            help="Two or more recipes, networks or recipe files, each with optional changes, as in "
            "mnist-cnn:lr=0.05,batch_size=256. Or the folders of finished runs: runs that differ only in the seed "
            "form one contestant.",
        ),
    ] = None,
    /,
    *,
    comparison: ComparisonFlags = NO_COMPARISON,
    flags: CompareFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="Show no progress.")] = False,
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
            leave_out({"CONTESTANT": sides or None, **{flag_of(name): value for name, value in chosen.items()}},
                      "--resume", "only the seeds of a comparison can change")  # fmt: skip
            found = sightline.resume_comparison(resume, **work)
        else:
            found = sightline.compare(sides or [], **work, **chosen)
    if output.json:
        print_json(found.to_dict())
    else:
        show_comparison(found)


def show_comparison(result: ComparisonResult) -> None:
    """Print the table of the contestants, the verdicts, and the statistics behind them."""
    from rich.console import Console

    from sightline.cli.tables import between, table_with_notes

    rows: list[list[str]] = []
    notes: list[str] = []
    numbered = max(len(side.name) for side in result.sides) > LONGEST_IN_TABLE
    for number, side in enumerate(result.sides, start=1):
        spread = "" if side.sd is None else f" ± {POINTS * side.sd:.2f}"
        interval = side.interval
        ends = between(f"{POINTS * interval[0]:.2f}", f"{POINTS * interval[1]:.2f}") if interval else "-"
        rows.append([str(number) if numbered else side.name, f"{POINTS * side.mean:.2f}{spread}", ends, str(side.n)])
        notes.append(said(", ").join([side.name] * numbered + [said(cost) for cost in _costs(side)]))
    confidence = f"{POINTS * result.confidence:g}%"
    table_with_notes(["contestant", "test accuracy, %", f"{confidence} interval", "seeds"], rows, notes)
    width = Console().width
    say()
    for pair in result.pairs:
        show(*wrapped(said(pair.verdict, "notes") + said("."), width, break_long_words=False))
        for line in _details(pair):
            show(*wrapped(said(line), width, initial_indent="    ", subsequent_indent="      "))
    say()
    looks = result.looks
    if len(looks) > 1:
        counts = ", ".join(map(str, looks))
        text = (
            f"The results were looked at with {counts} seeds. Looking and then adding seeds inflates false positives."
        )
        show(*wrapped(said(text), width))
    images = f"{result.test_images:,} test images"
    say(f"{images}, the same for every contestant. Written to {result.folder}")


def _costs(side: SideRecord) -> list[str]:
    costs = [side.length]
    if side.seconds_per_epoch is not None:
        costs.append(f"{side.seconds_per_epoch:.3g} s per epoch")
    costs.append(f"{side.train_seconds:.3g} s per run")
    if side.parameters is not None:
        costs.append(f"{side.parameters:,} parameters")
    if side.macs is not None:
        costs.append(f"{side.macs / 1e6:,.3g} M MACs")
    if side.latency_ms is not None:
        costs.append(f"{side.latency_ms:.2g} ms per picture")
    return costs


def _details(pair: PairRecord) -> list[str]:
    lines: list[str] = []
    if pair.p_value is not None and pair.interval is not None:
        low, high = pair.interval
        adjusted = pair.adjusted_p_value if pair.adjusted_p_value != pair.p_value else None
        holm = "" if adjusted is None else f", Holm-adjusted {p_value(adjusted)}"
        lines.append(
            f"difference {POINTS * pair.difference:+.2f} points, {POINTS * pair.confidence:.3g}% interval "
            f"{POINTS * low:+.2f} to {POINTS * high:+.2f}, p-value {p_value(pair.p_value)}{holm} "
            f"({pair.test} test, n = {' and '.join(map(str, pair.counts))})"
        )
    low, high = POINTS * pair.bootstrap.low, POINTS * pair.bootstrap.high
    lines.append(f"on other images of the same source: {low:+.2f} to {high:+.2f} points (bootstrap)")
    if pair.mcnemar:
        p_values = ", ".join(p_value(row.p_value) for row in pair.mcnemar)
        lines.append(f"McNemar's exact test, seed by seed: p-values {p_values}")
    return lines
