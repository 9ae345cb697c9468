"""The forecast: its curve against SciPy's and known ones, heads that never knew what they are asked, and whole runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import curve_fit
from scipy.stats import norm

import sightline as sl
from helpers.reports import changed_json, page_of, says, value_at
from helpers.sums import unlisted
from sightline.cli.app import run as command
from sightline.drawing import forecast as drawing
from sightline.errors import DataError, FileError, SightlineError, UsageError
from sightline.files.json_records import to_json
from sightline.runs.folder import RunFolder
from sightline.runs.records import Forecast
from sightline.stats.learning_curve import fit_learning_curve
from sightline.training.forecast import forecast_of
from sightline.training.heads_by_size import FRACTIONS, TRAINING_NOISE, HeadsBySize, measure_heads

pytestmark = pytest.mark.draws

SIZES = np.array([80.0, 160, 240, 320, 400])
QUICK: dict[str, Any] = {"threads": 1, "precision": "fp32", "quiet": True, "recipe": "none", "batch_size": 50}
SMALL: dict[str, Any] = {"model": "resnet8", "stage_widths": (8, 16, 24)}


def power(n: Any, a: float, b: float, c: float) -> Any:
    return a + b * n**-c


# The curve


@pytest.mark.parametrize(("a", "b", "c"), [(0.05, 3.0, 0.6), (0.1, 20.0, 1.0), (0.0, 1.0, 0.4)])
def test_errors_known_exactly_give_scipys_curve(a: float, b: float, c: float) -> None:
    rng = np.random.default_rng(0)
    errors = power(SIZES, a, b, c) + rng.normal(0, 1e-5, 5)
    curve = fit_learning_curve(SIZES, errors, np.eye(5) * 3e-6)
    theirs, _ = curve_fit(power, SIZES, errors, p0=(a, b, c), bounds=([0, 0, 0.05], [1, 1e4, 2]))
    for images in (900, 1800):
        found, (low, high) = curve.accuracy(images, 0.9)
        assert found == pytest.approx(1 - power(images, *theirs), abs=6e-3)
        assert low <= 1 - power(images, a, b, c) <= high
    likeliest = power(SIZES, *curve.likeliest())
    np.testing.assert_allclose(likeliest, errors, atol=6e-3)


def test_the_interval_covers_curves_of_all_kinds() -> None:
    """Curves are drawn as the fit supposes them to be, pictures by chance: 90 % are to be covered, give or take."""
    rng = np.random.default_rng(1)
    inside: list[bool] = []
    widths: list[float] = []
    for _ in range(200):
        share, exponent = rng.uniform(0, 1) ** 2, rng.uniform(0.05, 2)
        shape = share + (1 - share) * (400 / np.append(SIZES, 900)) ** exponent
        truth = min(rng.uniform(0.05, 0.3), 0.8 / shape.max()) * shape
        # A picture that is hard is hard for most heads.
        hard = 0.8 * rng.normal(size=(500, 1)) + 0.6 * rng.normal(size=(500, 5))
        heads = HeadsBySize(SIZES, (hard < norm.ppf(truth[:5])) * 1.0, np.zeros((1, 5)), np.arange(500))
        covariance = heads.covariance() / (1 + TRAINING_NOISE)  # nothing was trained
        _, (low, high) = fit_learning_curve(SIZES, heads.errors(), covariance).accuracy(900, 0.9)
        inside.append(low <= 1 - truth[5] <= high)
        widths.append(high - low)
    assert 0.84 <= np.mean(inside) <= 0.97
    assert np.mean(widths) < 0.08


def test_more_pictures_are_never_worse_and_no_error_is_not_certainty() -> None:
    for wrong in (np.zeros((500, 5)), (np.random.default_rng(2).random((500, 1)) < np.linspace(0.3, 0.4, 5)) * 1.0):
        heads = HeadsBySize(SIZES, wrong, np.zeros((1, 5)), np.arange(500))
        curve = heads.curve()
        accuracies = [curve.accuracy(n, 0.9)[0] for n in (100, 400, 900, 1800)]
        assert accuracies == sorted(accuracies) and accuracies[0] >= 0 and accuracies[-1] <= 1
        low, high = curve.accuracy(900, 0.9)[1]
        assert low < high - 1e-4 and high <= 1
        assert curve.gain(900, 900, 0.9) == (0, (0, 0))


def test_the_covariance_is_the_bootstraps() -> None:
    rng = np.random.default_rng(3)
    wrong = (rng.random((400, 1)) + 0.1 * rng.normal(size=(400, 5)) < np.linspace(0.3, 0.1, 5)) * 1.0
    found = HeadsBySize(SIZES, wrong, np.zeros((1, 5)), np.arange(400)).covariance() / (1 + TRAINING_NOISE)
    means = [wrong[rng.integers(0, 400, 400)].mean(axis=0) for _ in range(4000)]
    np.testing.assert_allclose(found, np.cov(np.transpose(means)), rtol=0.15, atol=1e-5)
    # Twice the same pictures tell no more than once.
    double = HeadsBySize(SIZES, np.repeat(wrong, 2, axis=0), np.zeros((1, 5)), np.repeat(np.arange(400), 2))
    np.testing.assert_allclose(double.covariance() / (1 + TRAINING_NOISE), found, rtol=0.05, atol=1e-6)


# The heads


def test_no_head_is_asked_about_what_it_was_fitted_to() -> None:
    """Labels that mean nothing can be learned by heart, features being many; only a head that knows them is right."""
    rng = np.random.default_rng(4)
    values, labels = rng.normal(size=(200, 300)).astype(np.float32), np.arange(200) % 2
    alone = measure_heads(values, labels, 2, repeats=1)
    assert alone.wrong.shape == (200, 5) and alone.accuracies.shape == (10, 5)
    assert alone.sizes == pytest.approx([160 * fraction for fraction in FRACTIONS])
    assert (abs(alone.errors() - 0.5) < 0.13).all()
    # Of twins one gives the other away, unless they are kept together.
    twins, pairs = np.repeat(values, 2, axis=0), np.repeat(np.arange(200), 2)
    apart = measure_heads(twins, labels[pairs], 2, repeats=1)
    together = measure_heads(twins, labels[pairs], 2, pairs, repeats=1)
    assert apart.errors()[-1] < 0.25 and together.errors()[-1] > 0.37
    assert together.sizes == pytest.approx([320 * fraction for fraction in FRACTIONS], rel=0.1)


def test_what_can_be_learned_is_learned_by_degrees_and_the_same_each_time() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(300) % 3
    values = (np.eye(3)[labels] @ rng.normal(size=(3, 40)) + 2.5 * rng.normal(size=(300, 40))).astype(np.float32)
    found = measure_heads(values, labels, 3, repeats=1)
    assert found.errors()[0] > found.errors()[-1] + 0.03
    again = measure_heads(values, labels, 3, repeats=1)
    assert (again.wrong == found.wrong).all()
    assert found.accuracies.mean(axis=0) == pytest.approx(1 - found.errors(), abs=1e-6)
    told = forecast_of(found, 270, "weights", 1.0)
    assert [point.images for point in told.predictions] == [540, 1080]
    assert told.now.accuracy < told.predictions[0].accuracy < told.predictions[1].accuracy
    for point in told.predictions:
        assert point.gain == pytest.approx(point.accuracy - told.now.accuracy, abs=1e-6)
        assert point.gain_interval[0] < point.gain < point.gain_interval[1]


def test_a_class_of_few_pictures_is_in_every_draw() -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1, 2], [100, 90, 5])
    values = (5 * np.eye(3)[labels] @ rng.normal(size=(3, 8)) + rng.normal(size=(195, 8))).astype(np.float32)
    assert (measure_heads(values, labels, 3, repeats=1).wrong[labels == 2].mean(axis=0) < 0.3).all()


# Runs


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that knows the digits well enough to have features, from other training images."""
    runs = tmp_path_factory.mktemp("weights")
    return sl.train("digits", epochs=3, lr=0.1, runs=runs, train_images=500, split_seed=7, **QUICK, **SMALL).run


@pytest.fixture(scope="module")
def begun(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that began with them; not to be changed."""
    flags: dict[str, Any] = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted", "train_images": 200}
    return sl.train("digits", epochs=1, lr=0.01, runs=tmp_path_factory.mktemp("runs"), **flags).run


@pytest.fixture
def copy(begun: Path, tmp_path: Path) -> Path:
    return shutil.copytree(begun, tmp_path / "run")


def test_a_run_is_told_what_more_pictures_would_bring(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert command(["forecast", str(copy), "--repeats", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = RunFolder(copy)
    assert told["files"] == [str(copy / "forecast.json"), str(folder.forecast_path)]
    assert (told["images"], told["asked"]) == (200, 344)
    assert [point["images"] for point in told["predictions"]] == [400, 800]
    assert [size["draws"] for size in told["measured"]] == [10] * 5
    kept = to_json(folder.read(Forecast))
    assert {name: told[name] for name in kept} == kept
    rows = folder.results()
    assert told["accuracy"] == max(row["val_accuracy"] for row in rows)
    after = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed - set(map(Path, told["files"])) == {copy / "sums.json"}
    # Heads on the frozen features are about as good as the fitted head that the run began with.
    assert told["now"]["accuracy"] == pytest.approx(rows[0]["val_accuracy"], abs=0.05)

    assert command(["forecast", str(copy), "--repeats", "1"]) == 0
    shown = capsys.readouterr().out
    assert "forecast: 2 times as many" in shown and "Measured on 344" in shown and "Rely on the gain" in shown
    assert {**to_json(folder.read(Forecast)), "seconds": 0} == {**kept, "seconds": 0}


def test_the_fine_tuned_weights_have_no_part_in_it(copy: Path) -> None:
    """They have seen the pictures: a forecast must be the same whatever they became."""
    first = sl.forecast(copy, repeats=1)
    for path in (copy / "weights").iterdir():
        path.unlink()
    second = sl.forecast(copy, repeats=1)
    assert second.forecast.measured == first.forecast.measured
    assert second.forecast.predictions == first.forecast.predictions


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_report_slides_and_card_tell_of_it(copy: Path, lang: str) -> None:
    page, _ = page_of(copy, lang=lang)
    assert "forecast" not in {element.get("id") for element in page.elements}
    sl.forecast(copy, repeats=1)
    page, _ = page_of(copy, lang=lang)
    ids = [element["id"] for element in page.elements if element["tag"] == "section"]
    assert ids.index("forecast") == ids.index("cost") - 1
    cells = [cell for cell in page.elements if cell.get("data-file") == "forecast.json" and "data-key" in cell]
    assert len(cells) > 20
    for cell in cells:
        keys = cell["data-key"].split(", ")
        values = [value_at(copy, "forecast.json", key) for key in keys]
        assert cell["tag"] in ("li", "p") or len(keys) > 1 or says(cell["text"], values[0]), cell
    card = sl.card(copy).path.read_text("utf-8")
    assert "## What would more pictures bring?" in card and "](forecast.png)" in card
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    sl.report(copy, slides=True, lang=lang)
    deck = pptx.Presentation(copy / ("slides.pptx" if lang == "en" else "slides.zh.pptx"))
    assert 8 <= len(deck.slides) <= 12


def test_the_picture_shows_what_was_measured_and_forecast(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(drawing.canvas, "write", lambda _, draw: made.append(draw()))
    found = sl.forecast(copy, repeats=1).forecast
    (axes,) = made[0].axes
    assert axes.get_xscale() == "log"
    line, *predicted = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    assert line.get_xdata().tolist() == [size.images for size in found.measured]
    assert line.get_ydata().tolist() == [size.accuracy for size in found.measured]
    assert [float(mark.get_xdata()[0]) for mark in predicted] == [400, 800]
    assert f"2x: {100 * found.predictions[0].accuracy:.1f}%" in {text.get_text() for text in axes.texts}


# What cannot be forecast


def refused(path: Path, **options: Any) -> SightlineError:
    with pytest.raises(SightlineError) as caught:
        sl.forecast(path, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_is_no_run_that_began_with_weights_is_one_line(
    begun: Path, weights: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(b"onnx")
    for path, kind, said in (
        (begun / "weights" / "best.safetensors", UsageError, "expected a run's folder"),
        (onnx, UsageError, "does not know the training images"),
        (tmp_path / "nowhere", FileError, "no such run folder"),
        (tmp_path / "empty", FileError, "it has no settings.yaml"),
        (weights, UsageError, "trained from scratch"),
    ):
        error = refused(path)
        assert isinstance(error, kind) and said in str(error), error
        assert command(["forecast", str(path)]) == kind.exit_code
        assert (err := capsys.readouterr().err).count("\n") == 1 and said in err
    assert isinstance(refused(copy, repeats=0), UsageError) and isinstance(refused(copy, device="abacus"), UsageError)
    assert command(["forecast", str(copy), "--repeats", "0"]) == 2
    assert "--repeats" in capsys.readouterr().err and not (copy / "forecast.json").exists()


def test_pictures_that_moved_and_weights_that_changed_are_told(
    begun: Path, copy: Path, weights: Path, tmp_path: Path
) -> None:
    text = (copy / "settings.yaml").read_text()
    other = shutil.copytree(unlisted(copy), tmp_path / "other")
    (other / "settings.yaml").write_text(text.replace("  name: digits", f"  name: {tmp_path / 'gone'}"))
    assert "gone" in str(refused(other))
    parts = json.loads((copy / "splits.json").read_text())["parts"]
    parts["train"]["content_sha256"] = "0" * 64
    changed_json(copy / "splits.json", parts=parts)
    error = refused(copy)
    assert isinstance(error, DataError) and "have changed since the run started" in str(error)

    moved = unlisted(shutil.copytree(weights, tmp_path / "weights"))
    other = shutil.copytree(other, tmp_path / "another")
    (other / "settings.yaml").write_text(text.replace(str(weights), str(moved)))
    shutil.copyfile(begun / "weights" / "best.safetensors", moved / "weights" / "best.safetensors")
    error = refused(other)
    assert isinstance(error, FileError) and "has changed since the run started from it" in str(error)


def test_weights_that_saw_the_same_pictures_are_refused(weights: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted"}
    same = sl.train("digits", epochs=0, runs=tmp_path, train_images=500, split_seed=7, **flags).run
    assert "was trained on the same images" in str(refused(same))


@pytest.mark.parametrize(
    ("counts", "said"),
    [((30, 15), "45 training and validation images are too few"), ((60, 4), "class b has 4 images")],
)
def test_too_few_pictures_are_counted(counts: tuple[int, int], said: str, weights: Path, tmp_path: Path) -> None:
    labels = np.repeat([0, 1], counts)
    pixels = np.random.default_rng(8).integers(0, 255, (len(labels), 8, 8), np.uint8)
    for number, (label, image) in enumerate(zip(labels, pixels, strict=True)):
        for part in ("train", "test"):
            place = tmp_path / "data" / part / "ab"[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number}.png")
    flags: dict[str, Any] = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted", "validation": 0.1}
    run = sl.train(tmp_path / "data", epochs=0, runs=tmp_path, near_duplicates="anywhere", **flags).run
    error = refused(run)
    assert isinstance(error, DataError) and said in str(error)


def test_pictures_without_validation_images_are_enough(weights: Path, tmp_path: Path) -> None:
    """Each picture is measured by heads fitted without it, so that none need be set aside."""
    flags: dict[str, Any] = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted", "validation": 0}
    run = sl.train("digits", epochs=0, runs=tmp_path, train_images=150, **flags).run
    found = sl.forecast(run, repeats=1)
    assert (found.forecast.asked, found.accuracy) == (150, None)
