"""The pictures: what is drawn, that it can be read, and that the files are whole and repeatable."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sightline.drawing import augmentation, canvas, confusion, curves
from sightline.drawing.words import Words
from sightline.errors import DataError, ResourceError

pytestmark = pytest.mark.draws

NAMES = ["zero", "one", "two"]


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that was saved, in order."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure, *arguments, **keywords):
        figures.append(figure)
        save(figure, *arguments, **keywords)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def some_rows(count, *parts):
    parts = parts or ("train", "val")
    rng = np.random.default_rng(count)
    return [
        {"epoch": epoch} | {f"{part}_{kind}": float(rng.random()) for part in parts for kind in ("accuracy", "loss")}
        for epoch in range(1, count + 1)
    ]


def line_of(axes, label):
    return {line.get_label(): line for line in axes.lines}[label]


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_curves_show_the_rows(tmp_path, drawn):
    rows = some_rows(12)
    curves.draw(rows, tmp_path / "curves.png", selected_epoch=7, title="a run")
    left, right = drawn[0].axes
    assert (left.get_title("left"), right.get_title("left")) == ("accuracy", "loss")
    assert drawn[0].get_suptitle() == "a run"
    for axes, kind in ((left, "accuracy"), (right, "loss")):
        for part, label in (("train", "training"), ("val", "validation")):
            line = line_of(axes, label)
            np.testing.assert_array_equal(line.get_xdata(), range(1, 13))
            np.testing.assert_array_equal(line.get_ydata(), [row[f"{part}_{kind}"] for row in rows])
        assert list(line_of(axes, "selected: epoch 7").get_xdata()) == [7, 7]
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["training", "validation", "selected: epoch 7"]


@pytest.mark.parametrize("absent", [{}, {"val_accuracy": None, "val_loss": None}, {"val_accuracy": "", "val_loss": ""}])
def test_curves_without_validation(tmp_path, drawn, absent):
    curves.draw([row | absent for row in some_rows(3, "train", "test")], tmp_path / "curves.png")
    for axes in drawn[0].axes:
        assert [line.get_label() for line in axes.lines] == ["training", "test"]


def test_curves_of_text_with_gaps(tmp_path, drawn):
    rows = [
        {"epoch": "1", "train_accuracy": "0.5", "train_loss": "2.0", "val_accuracy": "", "val_loss": ""},
        {"epoch": "2", "train_accuracy": "0.75", "train_loss": "inf", "val_accuracy": "0.7", "val_loss": "1.5"},
        {"epoch": "3", "train_accuracy": "0.8", "train_loss": "nan", "val_accuracy": "0.8", "val_loss": "1.0"},
    ]
    curves.draw(rows, tmp_path / "curves.png")
    left, right = drawn[0].axes
    np.testing.assert_array_equal(line_of(left, "validation").get_ydata(), [np.nan, 0.7, 0.8])
    np.testing.assert_array_equal(line_of(right, "training").get_ydata(), [2, np.nan, np.nan])


@pytest.mark.parametrize("count", [1, 2, 100])
def test_curves_have_whole_epochs_on_the_axis(tmp_path, drawn, count):
    curves.draw(some_rows(count), tmp_path / "curves.png")
    for axes in drawn[0].axes:
        ticks = axes.get_xticks()
        assert (ticks == np.round(ticks)).all()
        low, high = axes.get_xlim()
        assert sum(low <= tick <= high for tick in ticks) <= 12


def test_an_exploded_loss_makes_the_axis_logarithmic(tmp_path, drawn):
    rows = some_rows(5)
    curves.draw([row | {"val_loss": 1.0, "train_loss": 1.0} for row in rows], tmp_path / "a.png")
    curves.draw(
        [*(row | {"val_loss": 1.0, "train_loss": 1.0} for row in rows[:4]), rows[4] | {"val_loss": 1e6}],
        tmp_path / "b.png",
    )
    assert [figure.axes[1].get_yscale() for figure in drawn] == ["linear", "log"]
    assert not any("$" in label.get_text() for label in drawn[1].axes[1].get_yticklabels())


def test_curves_of_a_loss_alone(tmp_path, drawn):
    curves.draw([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}], tmp_path / "curves.png")
    assert not drawn[0].axes[0].lines
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["training"]


def test_curves_without_a_finished_epoch(tmp_path):
    with pytest.raises(DataError, match="no epoch was finished"):
        curves.draw([], tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def a_matrix(classes, images=50):
    rng = np.random.default_rng(classes)
    chances = 0.3 * rng.dirichlet(np.ones(classes), classes) + 0.7 * np.eye(classes)
    return np.array([rng.multinomial(images, row) for row in chances])


@pytest.mark.parametrize("classes", [2, 20])
def test_counts_are_written_where_they_are(tmp_path, drawn, classes):
    matrix = a_matrix(classes)
    confusion.draw(matrix, [f"c{i}" for i in range(classes)], tmp_path / "m.png")
    axes = drawn[0].axes[0]
    written = np.zeros_like(matrix)
    for text in axes.texts:
        column, row = text.get_position()
        written[row, column] = int(text.get_text())
    np.testing.assert_array_equal(written, matrix)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_more_than_twenty_classes_have_no_counts(tmp_path, drawn):
    confusion.draw(a_matrix(21), [f"c{i}" for i in range(21)], tmp_path / "m.png")
    assert not drawn[0].axes[0].texts


def test_shading_is_the_share_of_the_row(tmp_path, drawn):
    confusion.draw(np.array([[1, 3, 0], [0, 0, 0], [0, 10, 30]]), NAMES, tmp_path / "m.png")
    shading = drawn[0].axes[0].images[0]
    np.testing.assert_allclose(shading.get_array(), [[0.25, 0.75, 0], [0, 0, 0], [0, 0.25, 0.75]])
    assert (shading.norm.vmin, shading.norm.vmax) == (0, 1)


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (2, "x"),
        (10, "{}"),
        (10, "a long name of a class {}"),
        (20, "a name of class {} that does not end"),
        (100, "fish {}"),
    ],
)
def test_names_can_be_read(tmp_path, drawn, classes, name):
    names = [name.format(i) for i in range(classes)]
    confusion.draw(a_matrix(classes), names, tmp_path / "m.png", title="which is which")
    axes = drawn[0].axes[0]
    rows, columns = axes.get_yticklabels(), axes.get_xticklabels()
    assert len(rows) == len(columns) == classes
    for label, full in zip(rows, names, strict=True):
        start, _, end = label.get_text().partition("…")
        assert full.startswith(start) and full.endswith(end)
        assert label.get_fontsize() >= 6
    boxes = [label.get_window_extent() for label in rows]
    for below, above in zip(boxes[1:], boxes, strict=False):
        assert below.y1 <= above.y0 + 1
    turned = columns[0].get_rotation()
    # A turned line of text is one font size wide; a straight one must fit between its neighbours.
    step = axes.get_window_extent().width / classes
    for label in columns:
        width = (
            label.get_fontsize() / 72 * canvas.DPI / np.sin(np.radians(turned))
            if turned
            else label.get_window_extent().width
        )
        assert width <= step


def test_very_many_classes_are_named_in_part(tmp_path, drawn):
    classes = 101
    confusion.draw(a_matrix(classes, 5), [f"n{i}" for i in range(classes)], tmp_path / "m.png")
    labels = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    places = drawn[0].axes[0].get_yticks()
    assert len(labels) <= 100
    assert labels == [f"n{place}" for place in places]


def test_a_name_is_no_formula_and_unknown_glyphs_are_no_error(tmp_path, drawn, capfd):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        confusion.draw(a_matrix(3), ["$\\frac", "飞机", "two\nlines"], tmp_path / "m.png", title="$ 飞机 $")
    assert not heard
    assert capfd.readouterr() == ("", "")
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["$\\frac", "飞机", "two lines"]


def test_words_in_another_language(tmp_path, drawn):
    words = Words(epoch="Epoche", train="Training", selected="gewählt: {epoch}", true_class="wahre Klasse")
    curves.draw(some_rows(2), tmp_path / "c.png", words=words, selected_epoch=2)
    confusion.draw(a_matrix(3), NAMES, tmp_path / "m.png", words=words)
    assert drawn[0].axes[1].get_xlabel() == "Epoche"
    assert {"Training", "gewählt: 2"} <= {line.get_label() for line in drawn[0].axes[0].lines}
    assert drawn[1].axes[0].get_ylabel() == "wahre Klasse"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("title", ["", "augmented"])
def test_pictures_are_enlarged_exactly(tmp_path, channels, title):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, channels), dtype=np.uint8)
    augmentation.draw(images, tmp_path / "a.png", title=title, columns=3)
    sheet = read(tmp_path / "a.png")
    sheet = sheet[-(2 * (96 + 6) + 6) :]
    assert sheet.shape == (2 * (96 + 6) + 6, 3 * (72 + 6) + 6, 3)
    for i, image in enumerate(images):
        picture = Image.fromarray(image.squeeze()).convert("RGB").resize((72, 96), Image.Resampling.NEAREST)
        top, left = 6 + i // 3 * (96 + 6), 6 + i % 3 * (72 + 6)
        np.testing.assert_array_equal(sheet[top : top + 96, left : left + 72], np.asarray(picture))
    assert (sheet[-96 - 6 :, -72 - 6 :] == 255).all()  # no sixth picture


def test_large_pictures_are_brought_down(tmp_path):
    augmentation.draw(np.zeros((4, 600, 300, 3), np.uint8), tmp_path / "a.png")
    assert max(read(tmp_path / "a.png").shape) <= 2 * (256 + 6) + 6


def draw_all(folder):
    curves.draw(some_rows(3), folder / "curves.png", selected_epoch=2, title="a run")
    confusion.draw(a_matrix(3), NAMES, folder / "matrix.png", title="a run")
    augmentation.draw(np.zeros((2, 8, 8, 1), np.uint8), folder / "sheet.png", title="a run")
    return [(folder / name).read_bytes() for name in ("curves.png", "matrix.png", "sheet.png")]


def test_bytes_are_repeatable_whatever_the_users_style(tmp_path):
    first = draw_all(tmp_path / "a")
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30, "savefig.transparent": True}):
        theirs = dict(mpl.rcParams)
        second = draw_all(tmp_path / "b")
        assert dict(mpl.rcParams) == theirs
    assert dict(mpl.rcParams) == before
    assert first == second
    with Image.open(tmp_path / "a" / "curves.png") as image:
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert set(image.info) == {"dpi"}


def test_no_display_no_pyplot_no_torch(tmp_path):
    code = (
        "import sys, pathlib; from sightline.drawing import curves;"
        f"curves.draw([dict(epoch=1, train_loss=1.0)], pathlib.Path({str(tmp_path / 'c.png')!r}));"
        "bad = {'matplotlib.pyplot', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ, "MPLBACKEND": "tkagg"})
    assert read(tmp_path / "c.png").ndim == 3


def test_an_old_picture_survives_a_failure(tmp_path, monkeypatch):
    curves.draw(some_rows(2), tmp_path / "curves.png")
    old = (tmp_path / "curves.png").read_bytes()

    def half(figure, stream, **_):
        stream.write(b"half a picture")
        raise RuntimeError("stopped")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(RuntimeError, match="stopped"):
        curves.draw(some_rows(3), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ResourceError, match="a file is where a folder"):
        curves.draw(some_rows(2), tmp_path / "run" / "curves.png")


def test_a_font_installed_since_matplotlib_looked_is_found(tmp_path, monkeypatch):
    fonts = canvas.font_manager
    manager = fonts.fontManager
    new = fonts.findfont("DejaVu Serif")
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(b"no font")
    known = [font for font in manager.ttflist if font.name != "DejaVu Serif"]
    monkeypatch.setattr(manager, "ttflist", known)
    monkeypatch.setattr(canvas, "CHINESE_FONTS", ("DejaVu Serif", "A font that nobody has"))
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(damaged)])
    assert canvas._fonts.__wrapped__() == ("DejaVu Sans",)
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(damaged), new])
    assert canvas._fonts.__wrapped__() == ("DejaVu Sans", "DejaVu Serif")
