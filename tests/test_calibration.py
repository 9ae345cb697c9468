"""Calibration: its figures against scikit-learn's, the temperature against known ones, and a run before and after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

import sightline as sl
from helpers.sums import unlisted
from sightline.classifier import model_file
from sightline.cli.app import run
from sightline.drawing import canvas, reliability
from sightline.errors import DataError, FileError, ResourceError, UsageError
from sightline.evaluation import calibrate as calibration
from sightline.evaluation import metrics
from sightline.evaluation.calibrate import fit_temperature, softmax
from sightline.evaluation.predictions import Predictions
from sightline.files.json_records import to_json
from sightline.runs import folder as run_folder
from sightline.runs.folder import RunFolder
from sightline.runs.records import Calibration

pytestmark = pytest.mark.draws


def drawn_labels(seed: int, n: int, classes: int = 5, temperature: float = 1.0) -> tuple[Any, Any]:
    """Logits, and labels drawn from softmax(logits / temperature): probabilities that are true at that temperature."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(n, classes))
    chances = np.exp(logits / temperature)
    chances /= chances.sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return np.minimum(labels, classes - 1), logits


def reference_errors(labels: Any, found: Any, strategy: str) -> tuple[float, float]:
    """ECE and MCE from scikit-learn's curve of `right` against confidence and NumPy's counts."""
    confidence, right = found.max(axis=1), found.argmax(axis=1) == labels
    accuracy, mean = calibration_curve(right, confidence, n_bins=15, strategy=strategy)
    edges = np.linspace(0, 1, 16)
    if strategy == "quantile":
        edges = np.percentile(confidence, 100 * edges)
    counts, _ = np.histogram(confidence, edges)
    gaps = np.abs(accuracy - mean)
    return float((counts[counts > 0] * gaps).sum() / len(labels)), float(gaps.max())


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("n", [15, 300])
def test_figures_are_scikit_learns(classes: int, n: int) -> None:
    labels, logits = drawn_labels(classes, n, classes, temperature=2)
    found = softmax(logits, 1)
    figures = metrics.compute(labels, found, [str(k) for k in range(classes)])
    assert (figures.ece, figures.mce) == pytest.approx(reference_errors(labels, found, "uniform"))
    assert figures.ece_equal_mass == pytest.approx(reference_errors(labels, found, "quantile")[0])
    assert figures.ece <= figures.mce
    expected = brier_score_loss(labels, found, labels=range(classes), scale_by_half=False)
    assert figures.brier == pytest.approx(expected)


def test_bins_are_closed_above_and_empty_ones_have_no_figures() -> None:
    top = np.array([0.6, 0.6, 0.5, 0.7, 1.0, np.nextafter(np.float32(1), np.float32(2))])
    bins = metrics.confidence_bins(np.array([0, 1, 0, 0, 0, 0]), np.stack([top, 1 - top], 1), bins=10)
    assert [part.n for part in bins] == [0, 0, 0, 0, 1, 2, 1, 0, 0, 2]
    assert (bins[5].confidence, bins[5].accuracy) == pytest.approx((0.6, 0.5))
    assert bins[0].confidence is None and bins[0].accuracy is None
    assert metrics.calibration_errors(bins)[0] == pytest.approx((0.5 + 2 * 0.1 + 0.3) / 6, abs=1e-6)
    assert metrics.calibration_errors(bins)[1] == pytest.approx(0.5)


def test_the_order_of_the_images_makes_no_difference_among_equal_confidences() -> None:
    labels = np.array([0] * 20 + [1] * 20)
    equal = np.tile(np.float32([0.75, 0.25]), (40, 1))
    mixed = np.random.default_rng(0).permutation(40)
    found = [metrics.equal_mass_calibration_error(part, equal) for part in (labels, labels[mixed])]
    assert found == pytest.approx([0.25, 0.25])


def test_probabilities_that_are_true_have_hardly_any_error() -> None:
    labels, logits = drawn_labels(0, 50_000)
    wide = metrics.calibration_errors(metrics.confidence_bins(labels, softmax(logits, 1)))[0]
    assert wide < 0.01 and metrics.equal_mass_calibration_error(labels, softmax(logits, 1)) < 0.01
    too_sure = softmax(logits, 0.5)
    assert metrics.calibration_errors(metrics.confidence_bins(labels, too_sure))[0] > 0.08


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    labels, logits = drawn_labels(1, 20_000, temperature=temperature)
    fitted = fit_temperature(labels, logits)
    assert fitted is not None
    assert fitted.interval[0] < temperature < fitted.interval[1]
    assert fitted.interval[1] / fitted.interval[0] < 1.15
    # No other temperature, near or far, is better by scikit-learn's loss.
    losses = [log_loss(labels, softmax(logits, fitted.value * factor)) for factor in (1, 0.99, 1.01, 0.5, 2)]
    assert min(losses) == losses[0]


def test_the_interval_covers_the_temperature_as_often_as_it_says() -> None:
    fits = [fit_temperature(*drawn_labels(seed, 200, temperature=1.5)) for seed in range(300)]
    covered = np.mean([fit is not None and fit.interval[0] <= 1.5 <= fit.interval[1] for fit in fits])
    assert 0.92 <= covered <= 0.98


def test_no_temperature_where_all_is_right_or_nothing_is_known() -> None:
    labels = np.arange(300) % 3
    assert fit_temperature(labels, 20 * np.eye(3)[labels]) is None
    assert fit_temperature(labels, np.eye(3)[(labels + 1) % 3]) is None


def test_logits_beyond_float32s_probabilities_are_told_apart() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    logits = np.tile(np.float32([200, 0]), (100, 1))
    fitted = fit_temperature(labels, np.float32(logits) / 20)
    assert fitted is not None
    assert fitted.value == pytest.approx(10 / np.log(9), rel=1e-5)  # softmax then gives 0.9
    found = fit_temperature(labels, logits)
    assert found is not None and found.value == pytest.approx(20 * fitted.value)
    assert fit_temperature(labels, 2 * logits) is None  # 182, which is beyond HIGHEST


def test_the_answer_stays() -> None:
    _, logits = drawn_labels(2, 20_000)
    before = softmax(logits, 1).astype(np.float32).argmax(axis=1)
    for temperature in (0.2, 0.9, 1.1, 5):
        assert (softmax(logits, temperature).astype(np.float32).argmax(axis=1) == before).all()


# A run of the embedded digits: 144 images of its 1797 validate, and 359 test.
@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose validation images are not all answered rightly; not to be changed."""
    runs = tmp_path_factory.mktemp("runs")
    return sl.train("digits", runs=runs, quiet=True, epochs=2, lr=0.01, threads=1, device="cpu", seed=3).run


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_looking_changes_nothing(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert run(["calibrate", str(trained)]) == 0
    shown = capsys.readouterr().out
    assert "fitted on    144 validation images" in shown and "--write" in shown
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_written_it_is_in_every_answer(copy: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", str(copy), "--write", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    temperature = told["temperature"]
    assert told["interval"][0] < temperature < told["interval"][1] and abs(np.log(temperature)) > 0.1
    assert told["doubt"] == "" and told["stored"] == str(copy / "weights" / "best.safetensors")
    assert (told["validation"]["n"], told["test"]["n"]) == (144, 359)
    assert told["validation"]["after"]["loss"] < told["validation"]["before"]["loss"]

    # The file's network, computed without Sightline's softmax, over that temperature, is what everything answers.
    plain, calibrated = sl.load(trained), sl.load(copy)
    assert (plain.temperature, calibrated.temperature) == (1, temperature)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), np.uint8)
    logits = torch.from_numpy(plain.backend.logits(pixels))  # pyright: ignore[reportAttributeAccessIssue]
    expected = torch.softmax(logits.double() / temperature, 1).numpy()
    np.testing.assert_allclose(calibrated.probabilities(pixels), expected, atol=1e-6)
    answers = zip(plain.predict(list(pixels)), calibrated.predict(list(pixels)), strict=True)
    assert all(a.label == b.label and a.probability != b.probability for a, b in answers)

    # The run was tested again, as sightline test does it.
    old, new = RunFolder(trained), RunFolder(copy)
    reports = [json.loads(folder.test_folder.metrics_path.read_text()) for folder in (old, new)]
    for report, when in zip(reports, ("before", "after"), strict=True):
        for name, value in told["test"][when].items():
            assert report[name] == pytest.approx(value, abs=1e-5), name
    assert reports[0].get("temperature") is None and reports[1]["temperature"] == temperature
    assert reports[0]["confusion_matrix"] == reports[1]["confusion_matrix"]
    assert sl.test(copy).to_dict() == reports[1]
    stored = Predictions.load(copy / "test" / "predictions.npz")
    assert (stored.predicted() == Predictions.load(trained / "test" / "predictions.npz").predicted()).all()
    assert (copy / "test" / "reliability.png").read_bytes() != (trained / "test" / "reliability.png").read_bytes()

    record = new.read(Calibration)
    assert (record.temperature, record.stored) == (temperature, "weights/best.safetensors")
    assert to_json(record)["test"] == told["test"]
    assert (copy / "weights" / "last.safetensors").read_bytes() == old.last_weights.read_bytes()

    content = new.best_weights.read_bytes()
    again = sl.calibrate(copy, write=True)
    assert again.temperature == temperature and again.to_dict()["test"] == told["test"]
    assert new.best_weights.read_bytes() == content


def test_an_exported_file_is_told_to_be_older(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported = RunFolder(copy).onnx_path
    exported.write_bytes(b"of the uncalibrated weights")
    for words, said in (
        ([], ""),
        (["--write"], f"warning: {exported} is older and lacks this temperature; write it again with "
         f"sightline export {copy} --force\n"),
    ):  # fmt: skip
        assert run(["calibrate", str(copy), *words]) == 0
        assert capsys.readouterr().err == said
    assert exported.read_bytes() == b"of the uncalibrated weights"


def test_training_on_takes_the_temperature_away(copy: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sl.calibrate(copy, write=True)
    assert run(["train", "--resume", str(copy), "--add-epochs", "1"]) == 0
    assert "calibrate again" in capsys.readouterr().err
    assert RunFolder(copy).best_weights.read_bytes() != RunFolder(trained).best_weights.read_bytes()
    assert not (copy / "calibration.json").exists()
    assert "temperature" not in json.loads((copy / "test" / "metrics.json").read_text())


def test_a_run_in_training_gets_no_temperature(
    copy: Path, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "LOCK_SECONDS", 0)
    with RunFolder(copy).in_work():
        assert run(["calibrate", str(copy), "--write"]) == ResourceError.exit_code
        assert "another process is training this run" in (err := capsys.readouterr().err) and err.count("\n") == 1
        assert run(["calibrate", str(copy)]) == 0  # to look does no harm
    assert RunFolder(copy).best_weights.read_bytes() == RunFolder(trained).best_weights.read_bytes()
    assert not (copy / "calibration.json").exists()


def test_nothing_trains_a_run_from_the_reading_of_its_weights_to_the_last_file(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []

    def noting(real: Any) -> Any:
        def noted(*args: Any, **options: Any) -> Any:
            held.append(RunFolder(copy).is_in_work())
            return real(*args, **options)

        return noted

    monkeypatch.setattr(calibration.torch_backend, "from_file", noting(calibration.torch_backend.from_file))
    monkeypatch.setattr(RunFolder, "write", noting(RunFolder.write))
    sl.calibrate(copy, write=True)
    assert len(held) >= 2 and all(held)
    assert not RunFolder(copy).is_in_work()


def test_a_file_without_temperature_is_as_it_was(trained: Path, tmp_path: Path) -> None:
    tensors, header = model_file.load(RunFolder(trained).best_weights)
    _, metadata = model_file.unpack(RunFolder(trained).best_weights)
    told = json.loads(metadata["sightline"])
    assert list(told) == ["format_version", "model", "module", "class_names", "preprocessing"]
    assert told["format_version"] == 1

    model_file.save(tmp_path / "warm.safetensors", tensors, header.model_copy(update={"temperature": 1.7}))
    _, metadata = model_file.unpack(tmp_path / "warm.safetensors")
    told = json.loads(metadata["sightline"])
    assert (told["format_version"], told["temperature"]) == (2, 1.7)  # which a Sightline that knows only 1 refuses
    _, warm = model_file.load(tmp_path / "warm.safetensors")
    assert warm.temperature == 1.7
    model_file.save(tmp_path / "cold.safetensors", tensors, warm.model_copy(update={"temperature": 1.0}))
    assert (tmp_path / "cold.safetensors").read_bytes() == RunFolder(trained).best_weights.read_bytes()


@pytest.mark.parametrize("temperature", ["0", "-1", "NaN", '"2 K"'])
def test_a_temperature_that_is_none_is_refused(trained: Path, tmp_path: Path, temperature: str) -> None:
    tensors, metadata = model_file.unpack(RunFolder(trained).best_weights)
    header = metadata["sightline"][:-1] + f', "temperature": {temperature}}}'
    (tmp_path / "bad.safetensors").write_bytes(model_file.pack(tensors, {"sightline": header}))
    with pytest.raises(FileError, match="header is damaged"):
        model_file.load(tmp_path / "bad.safetensors")


def _with_splits(folder: Path, **changes: Any) -> None:
    path = unlisted(folder) / "splits.json"
    content = json.loads(path.read_text())
    content["parts"]["validation"].update(changes)
    path.write_text(json.dumps(content))


def test_what_is_no_calibrated_run_is_one_line(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    blind = {"threads": 1, "device": "cpu", "quiet": True, "runs": tmp_path, "steps": 1}
    watching = sl.train("digits", **blind, watch_test=True).run
    without = sl.train("digits", **blind, validation=0).run
    _with_splits(copy, content_sha256="0" * 64)
    unfinished = shutil.copytree(watching, tmp_path / "unfinished")
    shutil.rmtree(unfinished / "weights")
    capsys.readouterr()
    for path, code, message in (
        (copy / "weights" / "best.safetensors", UsageError.exit_code, "a file, which does not know the validation"),
        (tmp_path / "nothing", FileError.exit_code, "no such run folder"),
        (tmp_path / "empty", FileError.exit_code, "it has no settings.yaml"),
        (unfinished, FileError.exit_code, "it has no weights yet"),
        (watching, DataError.exit_code, "no validation images"),
        (without, DataError.exit_code, "no validation images"),
        (copy, DataError.exit_code, "validation images: their pixels or labels have changed"),
    ):
        assert run(["calibrate", str(path), "--write"]) == code
        out, err = capsys.readouterr()
        assert out == "" and message in err and err.count("\n") == 1


def _few(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FEWEST_TO_CALIBRATE", 145)


def _all_right(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = calibration._logits

    def perfect(backend: Any, images: Any) -> Any:
        return real(backend, images) + 1000 * np.eye(10, dtype=np.float32)[images.labels]

    monkeypatch.setattr(calibration, "_logits", perfect)


def _guesses(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def guesses(backend: Any, images: Any) -> Any:
        """Noise, its labels ahead by a mean of 0.05 deviations: a temperature of about 20, hardly to be sure of."""
        found = np.random.default_rng(1).normal(size=(len(images), 10))
        own = np.arange(len(images)), images.labels
        found[own] += (0.05 - (found[own] - found.mean(1)).mean()) * 10 / 9
        return found.astype(np.float32)

    monkeypatch.setattr(calibration, "_logits", guesses)


def _wrong(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_logits", lambda _, images: -np.eye(10, dtype=np.float32)[images.labels])


@pytest.mark.parametrize(
    ("doubtful", "message"),
    [
        (_few, "only 144 validation images"),
        (_all_right, "all 144 validation images"),
        (_guesses, "allow all temperatures"),
        (_wrong, "no temperature from 0.01 to 100"),
    ],
)
def test_a_doubt_is_told_and_nothing_written(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, doubtful: Any, message: str
) -> None:
    doubtful(trained, monkeypatch)
    assert run(["calibrate", str(trained)]) == 0
    assert message in capsys.readouterr().out
    content = RunFolder(trained).best_weights.read_bytes()
    assert run(["calibrate", str(trained), "--write"]) == DataError.exit_code
    assert message in (err := capsys.readouterr().err) and "Nothing was written" in err
    assert RunFolder(trained).best_weights.read_bytes() == content and not (trained / "calibration.json").exists()


def test_an_own_module_is_calibrated_with_its_class(tmp_path: Path) -> None:
    def own() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    torch.manual_seed(0)
    result = sl.train(
        "digits", model=own(), recipe="none", epochs=3, lr=0.05, runs=tmp_path, quiet=True, threads=1, device="cpu"
    )
    with pytest.raises(FileError, match="your own class"):
        sl.calibrate(result.run)
    found = sl.calibrate(result.run, module=own(), write=True)
    assert sl.load(result.run, module=own()).temperature == found.temperature != 1


def test_the_diagram_shows_every_bin_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(canvas, "write", lambda path, draw: drawn.append(draw()))
    labels, logits = drawn_labels(4, 500, temperature=2)
    figures = metrics.compute(labels, softmax(logits, 1), list("abcde"))
    assert figures.ece is not None
    reliability.draw(figures.reliability, figures.ece, Path("r.png"), title="a run")
    upper, lower = drawn[0].axes
    filled = [part for part in figures.reliability if part.n]
    accuracies, gaps = upper.containers
    assert [bar.get_height() for bar in accuracies] == pytest.approx([part.accuracy for part in filled])
    reached = [bar.get_y() + bar.get_height() for bar in gaps]
    assert reached == pytest.approx([part.confidence for part in filled])
    assert [bar.get_x() for bar in accuracies] == pytest.approx([part.low for part in filled])
    assert [int(text.get_text()) for text in lower.texts] == [part.n for part in filled]
    assert sum(int(text.get_text()) for text in lower.texts) == 500
    (diagonal,) = upper.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert upper.get_title() == f"a run: ECE {100 * figures.ece:.2f}% over 15 bins"
