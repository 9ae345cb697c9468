"""`sightline test`: how good a trained classifier is on test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json

if TYPE_CHECKING:
    TestFlags = Any
    NONE_GIVEN: Any = None
else:
    TestFlags = setting_flags(names=("data_dir", "test_fraction", "split_seed", "skip_bad", "device"))
    NONE_GIVEN = TestFlags()

TEST = Group("Test", sort_key=1)
WRITTEN = (
    "metrics.json", "predictions.npz", "confusion_matrix.png", "reliability.png", "mistakes.png", "explanations.png",
)  # fmt: skip


def test(
    model: Annotated[Path, Parameter(group=TEST, help="A run's folder, a model file or an ONNX file.")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(group=TEST, metavar="DATA", help="A dataset's name, or a folder. [the run's own]")
    ] = None,
    out: Annotated[
        Path | None, Parameter(group=TEST, metavar="DIR", help="Folder for the figures. [in the run's folder]")
    ] = None,
    steps: Annotated[
        int | None,
        Parameter(
            group=TEST,
            metavar="N",
            help="Look only at the first N batches, of the run's batch size. Such figures are printed, and written "
            "only to --out. [all images]",
        ),
    ] = None,
    tta: Annotated[
        bool,
        Parameter(
            group=TEST,
            negative="",
            help="Test-time augmentation: tell also the accuracy of the mean answer for views of each image, moved and "
            "mirrored where the run's training images were.",
        ),
    ] = False,
    explain: Annotated[
        int | None,
        Parameter(
            group=TEST,
            metavar="N",
            help="Also draw, for the N worst mistakes, what in the picture spoke for the answer (Grad-CAM).",
        ),
    ] = None,
    flags: TestFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Test, and print the figures."""
    with output.working():
        import sightline

        result = sightline.test(model, data, out=out, steps=steps, tta=tta, explain=explain, **given(flags))
    if output.json:
        print_json(result.report)
    else:
        _show(result.report, result.folder, result.images)


def _show(report: dict[str, Any], folder: Path | None, images: int) -> None:
    from sightline.cli.tables import facts, percent, percent_interval, table

    part = "" if report["n"] == images else f", the first of {images:,}"
    step = [("step", f"{report['step']:,}")] if "step" in report else []
    tta = report.get("tta")
    averaged: list[tuple[str, str]] = []
    if tta:
        averaged = [(f"with {tta['views']} views", f"{percent(tta['accuracy'])}{percent_interval(tta['interval'])}")]
    calibrated = [("temperature", f"{report['temperature']:.3f}")] if "temperature" in report else []
    facts(
        [
            ("images", f"{report['n']:,}{part}"),
            *step,
            ("accuracy", f"{percent(report['accuracy'])}{percent_interval(report['interval'])}"),
            *averaged,
            (f"top {report['top_k']}", percent(report["top_k_accuracy"])),
            ("balanced accuracy", percent(report["balanced_accuracy"])),
            ("macro F1", percent(report["macro_f1"])),
            ("loss", f"{report['loss']:.4f}"),
            ("calibration error", percent(report["ece"])),
            *calibrated,
        ]
    )
    print()
    table(
        ["class", "precision", "recall", "F1", "images"],
        [
            [c["name"], percent(c["precision"]), percent(c["recall"]), percent(c["f1"]), f"{c['support']:,}"]
            for c in report["per_class"]
        ],
    )
    if folder is not None:
        print(f"\nWritten to {folder}: {', '.join(name for name in WRITTEN if (folder / name).is_file())}")
