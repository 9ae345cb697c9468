"""`sightline test`: evaluate a trained classifier on test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import DATA, given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json, print_notes, say
from sightline.language import said
from sightline.printable import shortened

if TYPE_CHECKING:
    from sightline import TestResult

    TestFlags = Any
    NONE_GIVEN: Any = None
else:
    TestFlags = setting_flags(names=(*DATA, "test_fraction", "split_seed", "skip_bad", "device"))
    NONE_GIVEN = TestFlags()

TEST = Group("Test", sort_key=1)


def test(
    model: Annotated[Path, Parameter(group=TEST, help="A run's folder, a model file or an ONNX file.")],
    /,
    *,
    data: Annotated[
        str | None,
        Parameter(group=TEST, metavar="DATA", help="A dataset's name, or a path to your pictures. [the run's own]"),
    ] = None,
    out: Annotated[
        Path | None, Parameter(group=TEST, metavar="DIR", help="Folder for the results. [in the run's folder]")
    ] = None,
    steps: Annotated[
        int | None,
        Parameter(
            group=TEST,
            metavar="N",
            help="Test only the first N batches, of the run's batch size. The results are printed, and written only to "
            "--out. [all images]",
        ),
    ] = None,
    tta: Annotated[
        bool,
        Parameter(
            group=TEST,
            negative="",
            help="Test-time augmentation: also report the accuracy of predictions averaged over variants of each "
            "image, shifted or mirrored if the run's training images were.",
        ),
    ] = False,
    explain: Annotated[
        int | None,
        Parameter(
            group=TEST,
            metavar="N",
            help="For the N worst mistakes, also draw which regions led to the prediction (Grad-CAM).",
        ),
    ] = None,
    flags: TestFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Test, and print the results."""
    with output.working():
        import sightline

        result = sightline.test(model, data, out=out, steps=steps, tta=tta, explain=explain, **given(flags))
    print_notes(result.notes)
    if output.json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: TestResult) -> None:
    from sightline.cli.tables import facts, percent, percent_interval, table

    report, worst = result.report, result.report.worst_class
    part = "" if result.n == result.images else f", the first of {result.images:,}"
    rows = [("images", said(f"{result.n:,}{part}"))]
    if report.step is not None:
        rows.append(("step", f"{report.step:,}"))
    rows.append(("accuracy", f"{percent(result.accuracy)}{percent_interval(result.interval)}"))
    if (tta := result.tta) is not None:
        rows.append((f"with TTA, {tta.views} variants", f"{percent(tta.accuracy)}{percent_interval(tta.interval)}"))
    rows += [
        (f"top {report.top_k}", percent(report.top_k_accuracy)),
        ("balanced accuracy", percent(report.balanced_accuracy)),
        *(
            [("worst class", said(f"{shortened(worst.name)}, recall {percent(worst.recall)}"))]
            if report.is_unequal
            else []
        ),
        ("macro F1", percent(report.macro_f1)),
        ("loss", f"{result.loss:.4f}"),
        ("calibration error", percent(report.ece)),
    ]
    if report.temperature is not None:
        rows.append(("temperature", f"{report.temperature:.3f}"))
    facts(rows)
    say()
    table(
        ["class", "precision", "recall", "F1", "images"],
        [
            [
                shortened(scores.name),
                *(percent(value if scores.support else None) for value in (scores.precision, scores.recall, scores.f1)),
                f"{scores.support:,}",
            ]
            for scores in result.per_class
        ],
    )
    if result.folder is not None:
        say("", f"Written to {result.folder}: {', '.join(path.name for path in result.files)}")
