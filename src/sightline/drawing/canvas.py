"""What all drawings share: the house's style, its fonts, and how a figure becomes a PNG.

Object-oriented matplotlib with its Agg canvas: no display, no pyplot, no user's matplotlibrc, and the same input gives
the same bytes.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from sightline.drawing.lettering import shortened
from sightline.files import atomic
from sightline.printable import columns

# Chinese fonts come in one weight or with odd ones, which it would report on stderr at each use.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

DPI = 150
SHORTEST, LONGEST = 3, 200  # columns

INK, GREY, PALE = "#222222", "#767676", "#dddddd"
STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    # A class may be called "$5 note": nothing in a name is a formula.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
}
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Noto Sans CJK JP",  # the name by which matplotlib knows the collection of all of Noto's CJK fonts
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)


def of_pixels(width: int, height: int, head: float = 0.0) -> Figure:
    """Make a figure of so many pixels, and of `head` inches more above them."""
    # Half a pixel more, since the canvas rounds down.
    return Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI + head), dpi=DPI)


def write(path: Path, draw: Callable[[], Figure], *, trim: bool = False) -> None:
    """Write the figure that `draw` makes as a PNG, in the house's style; `trim` cuts it to what is drawn.

    Raises atomic's errors where `path` cannot be written.
    """
    with (
        matplotlib.style.context({**STYLE, "font.family": list(_fonts())}, after_reset=True),
        warnings.catch_warnings(),
    ):
        # Without a Chinese font its characters are drawn as boxes, which is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw()
        FigureCanvasAgg(figure)
        box = "tight" if trim else None
        write = partial(figure.savefig, format="png", dpi=DPI, bbox_inches=box, metadata={"Software": None})
        atomic.write_with(path, write)


def width_of(text: Text) -> float:
    """Measure how many pixels wide `text`, a part of a figure, is drawn: an "m" is as wide as three of "i"."""
    figure = text.get_figure(root=True)
    assert figure is not None
    agg = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    return text.get_window_extent(agg.get_renderer()).width


def fit(text: Text, width: float, front: float) -> None:
    """Leave out the middle of `text`, a part of a figure, where it is wider than `width` pixels.

    `front` is the part kept in front of it.
    """
    line = text.get_text()
    most = min(columns(line), LONGEST)
    while True:
        text.set_text(shortened(line, most, front))
        wide = width_of(text)
        if wide <= width or most <= SHORTEST:
            return
        most = max(SHORTEST, min(most - 1, int(most * width / wide) + 1))


def draws_chinese() -> bool:
    """Whether a font with Chinese characters is installed where matplotlib looks; without one they are boxes."""
    return len(_fonts()) > 1


@cache
def _fonts() -> tuple[str, ...]:
    # A family that is not installed would be reported on stderr at each use.
    chinese = _installed(CHINESE_FONTS)
    if not chinese:
        _look_again()
        chinese = _installed(CHINESE_FONTS)
    return ("DejaVu Sans", *chinese)


def _installed(families: Sequence[str]) -> list[str]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in families if name in known]


def _look_again() -> None:
    """Take in what was installed since matplotlib made its list of fonts, which it keeps for ever."""
    manager = font_manager.fontManager
    known = {font.fname for font in manager.ttflist}
    for path in sorted({*font_manager.findSystemFonts()} - known):
        with contextlib.suppress(Exception):  # whatever a damaged file of somebody else's raises
            manager.addfont(path)
