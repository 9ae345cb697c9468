"""`sightline summary`: the parts of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json
from sightline.language import said
from sightline.settings import flat_fields

if TYPE_CHECKING:
    from sightline import ModelSummary

    ModelFlags = Any
    NONE_GIVEN: Any = None
else:
    ModelFlags = setting_flags(names=[f.name for f in flat_fields().values() if f.section == "model" != f.name])
    NONE_GIVEN = ModelFlags()

SUMMARY = Group("Summary", sort_key=1)


def summary(
    model: Annotated[
        str, Parameter(group=SUMMARY, help="A preset, a family, a recipe, a run's folder or a model file.")
    ],
    /,
    *,
    input: Annotated[
        str | None,
        Parameter(
            group=SUMMARY, metavar="CxHxW", help="Channels, height and width of an image. [the network's default]"
        ),
    ] = None,
    classes: Annotated[int | None, Parameter(group=SUMMARY, metavar="N", help="Number of classes. [10]")] = None,
    flags: ModelFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Show a network's parts and totals."""
    with output.working():
        import sightline

        found = sightline.summary(model, input=input, classes=classes, **given(flags))
    if output.json:
        print_json({"model": model, **found.to_dict()})
    else:
        _show(found)


def _show(found: ModelSummary) -> None:
    from sightline.cli.tables import facts, table

    table(
        ["part", "type", "output", "parameters", "MACs"],
        [
            [part.name, part.type, _dimensions(part.output), f"{part.parameters:,}", f"{part.macs:,}"]
            for part in found.parts
        ],
        total=[said("total"), "", "", f"{found.parameters:,}", f"{found.macs:,}"],
    )
    rows = [
        ("input", _dimensions(found.input)),
        ("weights", said(f"{4 * found.parameters / 2**20:.1f} MiB in float32")),
    ]
    idle = sum(part.parameters for part in found.parts if part.output is None)
    if idle:
        rows.append(("auxiliary", said(f"{idle:,} parameters belong to heads that run in training only")))
    facts(rows)


def _dimensions(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else ""
