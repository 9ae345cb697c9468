"""A report as slides (PowerPoint): a title, then at most eleven, each with a picture or a table beside a few points."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from sightline.drawing.lettering import shortened
from sightline.errors import needs
from sightline.printable import columns, printable
from sightline.reporting.blocks import Picture, Report, Slide, Table

if TYPE_CHECKING:
    from pptx.slide import Slide as PptxSlide

Room = tuple[float, float, float, float]
"""Left, top, width and height in inches."""

MOST = 12
WIDTH, HEIGHT, MARGIN, TOP, GAP, FOOT = 13.333, 7.5, 0.6, 1.55, 0.45, 0.6
TEXT_WIDTH = 4.2
INK, SOFT, MARK, TINT = "1D1D1F", "5C5C63", "0A63A8", "F4F5F7"
LONGEST_POINT = 300
LONGEST_PROPERTY = 255
"""Office Open XML's core properties have no more characters."""
WIDE_ASPECT, POINTS_ABOVE = 1.9, 3
FONT = {"en": "Arial", "zh-Hans": "Microsoft YaHei"}
TITLE_SIZES, HEAD_SIZES = (40, 34, 28, 24, 20, 16), (28, 24, 20)
POINT_SIZES, TABLE_SIZES = (20, 18, 16, 14, 13, 12, 11), (16, 14, 12, 11, 10, 9)
# Inches of a column of text for each point of its size, with room to spare for whatever font stands in for Arial.
COLUMN_INCHES, LINE_SIZES, SPACE_SIZES = 0.0089, 1.25, 0.5
CELL_SIDE, CELL_SIZES = 0.09, 2.0


def slides(report: Report) -> bytes:
    """Set the report as a .pptx. Raises UsageError without python-pptx."""
    with needs("--slides", "report", "pptx", package="python-pptx"):
        from pptx import Presentation
        from pptx.util import Inches
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    deck.core_properties.title, deck.core_properties.author = shortened(report.title, LONGEST_PROPERTY), "Sightline"
    font, wide = FONT[report.language], WIDTH - 2 * MARGIN
    blank = deck.slide_layouts[6]
    opening = deck.slides.add_slide(blank)
    _rule(opening, (MARGIN, 1.75, 1.2, 0.08))
    _points(opening, [report.title], (MARGIN, 2.0, wide, 2.6), font, sizes=TITLE_SIZES, bold=True)
    _points(opening, [report.subtitle], (MARGIN, 4.75, wide, 0.5), font, sizes=(20, 16, 12), colour=SOFT)
    _points(opening, [report.made_by], (MARGIN, 6.35, wide, 0.6), font, sizes=(12, 11, 10), colour=SOFT)
    for number, slide in enumerate(chosen(report), start=2):
        _add(deck.slides.add_slide(blank), slide, number, font)
    stream = io.BytesIO()
    deck.save(stream)
    return stream.getvalue()


def chosen(report: Report) -> list[Slide]:
    """Choose what fits: the first slide of every section, then further ones in their order, at most eleven in all."""
    every = [
        (place, index, slide)
        for place, section in enumerate(report.sections)
        for index, slide in enumerate(section.slides)
    ]
    first_come = sorted(every, key=lambda item: (item[1], item[0]))[: MOST - 1]
    return [slide for _, _, slide in sorted(first_come, key=lambda item: item[:2])]


def _add(page: PptxSlide, slide: Slide, number: int, font: str) -> None:
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - TOP - FOOT
    _points(page, [slide.title], (MARGIN, 0.45, wide, 0.7), font, sizes=HEAD_SIZES, bold=True)
    _rule(page, (MARGIN, 1.2, 0.9, 0.05))
    beside = slide.picture or slide.table
    is_wide = slide.picture is not None and _aspect(slide.picture) > WIDE_ASPECT and len(slide.points) <= POINTS_ABOVE
    text: Room = (MARGIN, TOP, TEXT_WIDTH, high)
    left = MARGIN + TEXT_WIDTH + GAP
    room: Room = (left, TOP, WIDTH - MARGIN - left, high)
    if beside is None or isinstance(beside, Table) or is_wide:
        # A table or a wide picture needs the whole width, so the words stand above it.
        above = high if beside is None else 1.1 if is_wide else 1.5
        text = (MARGIN, TOP, wide, above)
        room = (MARGIN, TOP + above + 0.15, wide, high - above - 0.15)
    if not slide.points:
        room = (MARGIN, TOP, wide, high)
    else:
        _points(page, slide.points, text, font)
    if slide.picture is not None:
        _picture(page, slide.picture, room)
    elif slide.table is not None:
        _table(page, slide.table, room, font)
    _points(
        page, [str(number)], (WIDTH - MARGIN - 0.6, HEIGHT - 0.5, 0.6, 0.3), font, sizes=(10,), colour=SOFT, right=True
    )
    files = [slide.picture.file] if slide.picture is not None and slide.picture.file else []
    files += slide.table.files() if slide.table is not None else []
    if files:
        notes = page.notes_slide.notes_text_frame
        assert notes is not None
        notes.text = ", ".join(files)


def _points(
    page: PptxSlide, texts: Sequence[str], room: Room, font: str, *, sizes: Sequence[int] = POINT_SIZES,
    colour: str = INK, bold: bool = False, right: bool = False,
) -> None:  # fmt: skip
    """Write paragraphs in the largest size at which they fit; what fits in none is shortened."""
    from pptx.enum.text import PP_ALIGN
    from pptx.util import Inches, Pt

    texts = [shortened(text, LONGEST_POINT, front=1) for text in texts]
    size = next((size for size in sizes if fits(texts, room, size, bold=bold)), sizes[-1])
    most = LONGEST_POINT
    while not fits(texts, room, size, bold=bold) and most > 20:
        most = most * 4 // 5
        texts = [shortened(text, most, front=1) for text in texts]
    frame = page.shapes.add_textbox(*(Inches(part) for part in room)).text_frame
    frame.word_wrap = True
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = Pt(0)
    for index, text in enumerate(texts):
        paragraph = frame.paragraphs[0] if index == 0 else frame.add_paragraph()
        paragraph.space_after = Pt(size * SPACE_SIZES)
        if right:
            paragraph.alignment = PP_ALIGN.RIGHT
        _run(paragraph, text, size, font, bold=bold, colour=colour)


def fits(texts: Sequence[str], room: Room, size: int, *, bold: bool = False) -> bool:
    """Tell whether paragraphs of `size` points fit into a room."""
    across = max(2, int(room[2] / (COLUMN_INCHES * size * (1.08 if bold else 1))))
    lines = sum(_lines(text, across) for text in texts)
    return (lines * LINE_SIZES + SPACE_SIZES * (len(texts) - 1)) * size / 72 <= room[3]


def _lines(text: str, across: int) -> int:
    """Count lines of `across` columns: Latin words stay whole where they can, Chinese breaks anywhere."""
    count, used = 1, 0
    for word in text.split(" "):
        wide = columns(word)
        if wide > len(word) or wide > across:
            used += wide + 1
            count, used = count + used // across, used % across
        elif used and used + wide > across:
            count, used = count + 1, wide + 1
        else:
            used += wide + 1
    return count


def _aspect(picture: Picture) -> float:
    with Image.open(picture.path) as opened:
        return opened.width / opened.height


def _rule(page: PptxSlide, room: Room) -> None:
    from pptx.dml.color import RGBColor
    from pptx.enum.shapes import MSO_SHAPE
    from pptx.util import Inches

    shape = page.shapes.add_shape(MSO_SHAPE.RECTANGLE, *(Inches(part) for part in room))
    shape.fill.solid()
    shape.fill.fore_color.rgb = RGBColor.from_string(MARK)
    shape.line.fill.background()


def _picture(page: PptxSlide, picture: Picture, room: Room) -> None:
    from pptx.util import Inches

    left, top, width, height = room
    with Image.open(picture.path) as opened:
        across, down = opened.size
    scale = min(width / across, height / down)
    shown = page.shapes.add_picture(
        str(picture.path), Inches(left + (width - across * scale) / 2), Inches(top + (height - down * scale) / 2),
        Inches(across * scale), Inches(down * scale),
    )  # fmt: skip
    shown._element._nvXxPr.cNvPr.set("descr", picture.caption)  # pyright: ignore[reportPrivateUsage]


def _table(page: PptxSlide, table: Table, room: Room, font: str) -> None:
    """Set a table in one line a row: the largest size at which it fits, and columns shortened where none does."""
    from pptx.dml.color import RGBColor
    from pptx.enum.text import PP_ALIGN
    from pptx.util import Inches, Pt

    left, top, width, height = room
    rows = [list(table.head), *([cell.text for cell in row] for row in table.rows)]
    size = next((size for size in TABLE_SIZES if _width_of(rows, size) <= width
                 and len(rows) * CELL_SIZES * size / 72 <= height), TABLE_SIZES[-1])  # fmt: skip
    rows = rows[: max(2, int(height / (CELL_SIZES * size / 72)))]
    widths = _widths(rows, size)
    while sum(widths) > width:
        # The widest gives way, as long as it takes.
        place = widths.index(max(widths))
        most = int((widths[place] - 2 * CELL_SIDE) / (COLUMN_INCHES * 1.08 * size)) - 1
        for row in rows:
            row[place] = shortened(row[place], max(3, most))
        widths = _widths(rows, size)
        if most <= 3:
            break
    spare = max(0.0, min(width - sum(widths), 0.5 * sum(widths))) / len(widths)
    widths = [wide + spare for wide in widths]
    line_height = Pt(CELL_SIZES * size)
    shape = page.shapes.add_table(
        len(rows), len(widths), Inches(left), Inches(top), Inches(sum(widths)), Pt(CELL_SIZES * size * len(rows))
    )
    grid = shape.table
    for place, wide in enumerate(widths):
        grid.columns[place].width = Inches(wide)
    for line, row in enumerate(rows):
        grid.rows[line].height = line_height
        for place, text in enumerate(row):
            cell = grid.cell(line, place)
            cell.margin_left = cell.margin_right = Inches(CELL_SIDE)
            cell.margin_top = cell.margin_bottom = Pt(size * 0.2)
            cell.fill.solid()
            cell.fill.fore_color.rgb = RGBColor.from_string(MARK if line == 0 else "FFFFFF" if line % 2 else TINT)
            paragraph = cell.text_frame.paragraphs[0]
            if table.is_number(place):
                paragraph.alignment = PP_ALIGN.RIGHT
            _run(paragraph, text, size, font, bold=line == 0, colour="FFFFFF" if line == 0 else INK)


def _widths(rows: Sequence[Sequence[str]], size: int) -> list[float]:
    return [
        max(4, *(columns(row[place]) for row in rows)) * COLUMN_INCHES * 1.08 * size + 2 * CELL_SIDE
        for place in range(len(rows[0]))
    ]


def _width_of(rows: Sequence[Sequence[str]], size: int) -> float:
    return sum(_widths(rows, size))


def _run(paragraph: Any, text: str, size: int, font: str, *, bold: bool = False, colour: str = INK) -> None:
    from pptx.dml.color import RGBColor
    from pptx.util import Pt

    run = paragraph.add_run()
    run.text = printable(text)
    run.font.size, run.font.bold, run.font.name = Pt(size), bold, font
    run.font.color.rgb = RGBColor.from_string(colour)
