"""`sightline export`: an ONNX file that gives the classifier's predictions without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json, say
from sightline.language import said

if TYPE_CHECKING:
    from sightline import ExportResult

    DataFlags = Any
    NONE_GIVEN: Any = None
else:
    DataFlags = setting_flags(names=("data_dir", "skip_bad"))
    NONE_GIVEN = DataFlags()

EXPORT = Group("Export", sort_key=1)


def export(
    model: Annotated[Path, Parameter(group=EXPORT, help="A run's folder, or a model file.")],
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(group=EXPORT, metavar="FILE", help="ONNX file to write. [RUN/model.onnx, or next to the model file]"),
    ] = None,
    force: Annotated[bool, Parameter(group=EXPORT, negative="", help="Replace the file if it exists.")] = False,
    data: Annotated[
        str | None,
        Parameter(
            group=EXPORT,
            metavar="DATA",
            help="Dataset or folder whose test images are used for the comparison. [the run's own, or random pictures]",
        ),
    ] = None,
    images: Annotated[
        int, Parameter(group=EXPORT, metavar="N", help="Maximum number of pictures for the comparison.")
    ] = 1000,
    flags: DataFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Export, compare the predictions, and print the result."""
    with output.working():
        import sightline

        result = sightline.export(model, out=out, force=force, data=data, images=images, **given(flags))
    if output.json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: ExportResult) -> None:
    from sightline.cli.tables import facts, percent

    accuracy = [] if result.accuracy is None else [("accuracy", said(f"{percent(result.accuracy)}, of the ONNX file"))]
    facts(
        [
            ("compared on", f"{result.images:,} {said(result.images_from)}"),
            ("largest difference", said(f"{result.max_difference:.1e} in a probability")),
            ("same predictions", percent(result.top1_agreement)),
            *accuracy,
            ("opset", str(result.opset)),
            ("size", said(f"{result.bytes:,} bytes")),
        ]
    )
    say("", f"Written to {result.path}")
