"""Training end to end on small data: selection, schedules, rules that stop it, and everything it leaves behind."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from helpers.training import SMALL, small
from sightline.data.image_set import ImageData, ImageSet
from sightline.runs.folder import PROBABILITIES, RESULTS, STEPS, RunFolder
from sightline.runs.records import Splits
from sightline.settings import build_settings


def test_a_run_leaves_everything_behind(tmp_path: Path) -> None:
    result = small(tmp_path, log_steps=2, log_probabilities_steps=5)
    folder = RunFolder.open(result.run)
    for name in ("settings.yaml", "environment.json", "splits.json", "audit.json", "curves.png", "augmentation.png"):
        assert (result.run / name).is_file()
    for name in ("metrics.json", "predictions.npz", "confusion_matrix.png", "reliability.png"):
        assert (folder.test_folder.path / name).is_file()
    rows = folder.rows(RESULTS)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -int(row["epoch"])))
    assert result.val_accuracy == float(best["val_accuracy"])
    metrics = json.loads(folder.test_folder.metrics_path.read_text())
    assert metrics["accuracy"] == result.test_accuracy
    assert result.test_interval is not None and result.test_interval[0] < metrics["accuracy"] <= result.test_interval[1]
    assert [int(row["step"]) for row in folder.rows(STEPS)] == list(range(2, result.steps + 1, 2))
    probabilities = folder.rows(PROBABILITIES)
    assert len(probabilities) == 16 * (result.steps // 5)
    assert math.isclose(sum(float(v) for k, v in probabilities[0].items() if k.startswith("class")), 1, abs_tol=1e-5)
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_images_of_one_s_own_are_brought_to_the_size_that_is_asked_for(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), np.uint8)
    images = ImageSet.from_arrays(pixels, np.arange(40) % 2, [str(number) for number in range(40)], ("a", "b"))
    data = ImageData("own", images, None, images, files={}, skipped={})
    result = sl.train(data, model="cnn", image_size=16, channels=3, steps=2, runs=tmp_path, quiet=True, threads=1)
    parts = json.loads((result.run / "splits.json").read_text())["parts"]
    assert [part["size"] for part in parts.values()] == [[16, 16, 3]] * 3
    assert sl.load(result.run).preprocessing.height == 16


def test_training_is_repeatable_and_seeds_matter(tmp_path: Path) -> None:
    weights = [
        RunFolder(small(tmp_path, seed=seed, dropout=0.3, shift=1).run).last_weights.read_bytes() for seed in (1, 1, 2)
    ]
    assert weights[0] == weights[1] != weights[2]


def test_the_same_picture_gets_the_same_answer_everywhere(tmp_path: Path) -> None:
    result = small(tmp_path, model="resnet8", ema_decay=0.9, epochs=2)
    stored = sl.test(result.run)
    again = sl.test(
        result.run,
        "synthetic",
        **{k: SMALL[k] for k in ("image_size", "channels", "synthetic_classes", "synthetic_count")},
    )
    assert stored.accuracy == result.test_accuracy == again.accuracy
    from sightline.evaluation.predictions import Predictions

    in_training = Predictions.load(result.run / "test" / "predictions.npz").probabilities
    np.testing.assert_allclose(again.predictions.probabilities, in_training, atol=1e-6)
    settings = build_settings(
        None,
        {
            k: v
            for k, v in {**SMALL, "data": "synthetic"}.items()
            if k in ("data", "image_size", "channels", "synthetic_classes", "synthetic_count")
        },
    )
    from sightline.data import load

    images = load(settings.data).test
    assert images is not None
    answers = sl.load(result.run).predict([images.images(i, i + 1)[0] for i in range(20)])
    found = np.array([list(answer.probabilities.values()) for answer in answers])
    np.testing.assert_allclose(found, in_training[:20], atol=1e-6)


def test_the_test_images_never_choose(tmp_path: Path) -> None:
    """With the test labels shuffled, training and selection are the same to the bit."""
    from sightline.data import load

    data = load(
        build_settings(None, {"data": "synthetic", "image_size": 8, "channels": 1, "synthetic_count": 150}).data
    )
    assert data.test is not None
    shuffled = np.random.default_rng(0).permutation(data.test.labels)
    other = ImageSet(data.test.pixels, data.test.rows, shuffled, data.test.ids, data.test.class_names)
    changed = ImageData(data.name, data.train, data.val, other, data.files, data.skipped)
    options = {k: v for k, v in SMALL.items() if not k.startswith("synthetic")}
    runs = [RunFolder(sl.train(d, runs=tmp_path, epochs=2, **options).run) for d in (data, changed)]
    assert runs[0].best_weights.read_bytes() == runs[1].best_weights.read_bytes()
    hidden = ("seconds", "images_per_second")
    rows = [[{k: v for k, v in row.items() if k not in hidden} for row in run.rows(RESULTS)] for run in runs]
    assert rows[0] == rows[1]


def test_watch_test_trains_on_everything_and_keeps_the_last_weights(tmp_path: Path) -> None:
    result = small(tmp_path, watch_test=True)
    folder = RunFolder(result.run)
    assert result.val_accuracy is None
    assert not folder.best_weights.exists()
    assert folder.read(Splits).parts["train"].images == 150
    assert float(folder.rows(RESULTS)[-1]["test_accuracy"]) == pytest.approx(result.test_accuracy)


def test_an_own_module_trains_and_loads(tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    options = {k: v for k, v in SMALL.items() if k not in ("model", "conv_widths", "kernel", "hidden")}
    result = sl.train("synthetic", model=own(), runs=tmp_path, epochs=2, **options)
    assert result.model == "Sequential"
    with pytest.raises(sl.FileError, match="Sequential"):
        sl.load(result.run)
    assert sl.test(result.run, module=own()).accuracy == result.test_accuracy


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3)), "cannot take images of 1x8x8"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), r"shape \(2, 7\) \(expected a tensor of shape \(2, 3\)"),
        (nn.Identity(), r"shape \(2, 1, 8, 8\)"),
    ],
)
def test_an_own_module_that_does_not_fit_is_refused(tmp_path: Path, module: nn.Module, message: str) -> None:
    options = {k: v for k, v in SMALL.items() if k not in ("model", "conv_widths", "kernel", "hidden")}
    with pytest.raises(sl.UsageError, match=message):
        sl.train("synthetic", model=module, runs=tmp_path / "runs", epochs=2, **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(tmp_path: Path, precision: str) -> None:
    with pytest.raises(sl.NumericError, match="not finite") as error:
        small(tmp_path, lr=1e30, momentum=0, precision=precision)
    assert error.value.exit_code == 5


def test_weights_that_blow_up_in_an_epochs_last_step_name_run_epoch_and_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.training import trainer as loop

    real = loop.learning_rate

    def explode(*arguments: Any, **options: Any) -> float:
        last = arguments[2] == 2 * options["steps_per_epoch"] - 1
        return 1e30 if last else real(*arguments, **options)

    monkeypatch.setattr(loop, "learning_rate", explode)
    with pytest.raises(sl.NumericError, match=r"NaN or infinite probabilities, first for .* a lower lr") as error:
        small(tmp_path, momentum=0)
    (run,) = tmp_path.iterdir()
    assert str(error.value).startswith(f"{run}, epoch 2: ")
    assert error.value.exit_code == 5


def test_the_best_weights_survive_a_loss_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training import trainer as loop

    real = loop.learning_rate

    def explode(*arguments: Any, **options: Any) -> float:
        return 1e30 if arguments[2] >= 14 else real(*arguments, **options)

    monkeypatch.setattr(loop, "learning_rate", explode)
    with pytest.raises(sl.NumericError, match="best weights are kept"):
        small(tmp_path, momentum=0)
    run = next(tmp_path.iterdir())
    tensors = sl.load(run)
    assert np.isfinite(tensors.probabilities(np.zeros((1, 8, 8, 1), np.uint8))).all()
    assert all(torch.isfinite(v).all() for v in _checkpoint_tensors(run))


def _checkpoint_tensors(run: Path) -> list[torch.Tensor]:
    from sightline.classifier.model_file import unpack

    return list(unpack(RunFolder(run).checkpoints()[0])[0].values())


def test_early_stopping_and_threshold(tmp_path: Path) -> None:
    result = small(tmp_path, lr=1e-9, patience=2, epochs=9)
    assert result.epochs == 3
    result = small(tmp_path, stop_at_accuracy=0.01, epochs=9)
    assert result.epochs == 1


def test_a_run_that_patience_ended_goes_on_when_it_is_made_longer(tmp_path: Path) -> None:
    ended = small(tmp_path, lr=1e-9, patience=2, epochs=9)
    assert ended.epochs < 9
    longer = sl.resume(ended.run, add_epochs=4, quiet=True)
    assert longer.epochs == ended.epochs + 2
    assert sl.resume(ended.run, quiet=True).epochs == longer.epochs


def test_a_longer_run_that_was_killed_at_once_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(small(tmp_path, lr=1e-9, patience=2, epochs=9).run)
    step = int(folder.results()[-1]["step"])
    training = folder.settings().training.model_copy(update={"epochs": 20})
    longer = folder.settings().model_copy(update={"training": training, "extended_from_step": step})
    with folder.rewriting("settings.yaml"):
        folder.write_settings(longer)
    assert not folder.is_finished()
    assert sl.resume(folder.path, quiet=True).epochs == 5
    assert folder.is_finished()


def test_patience_counts_epochs_where_not_each_is_validated(tmp_path: Path) -> None:
    result = small(tmp_path, lr=1e-9, patience=3, validate_epochs=2, epochs=20)
    assert result.epochs == 6, "the first validation is of epoch 2, and the next ones are of epochs 4 and 6"


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"validation": 0, "patience": 3}, "patience"),
        ({"watch_test": True, "patience": 3}, "patience"),
        ({"validation": 0, "stop_at_accuracy": 0.9}, "stop_at_accuracy"),
    ],
)
def test_a_rule_without_its_figure_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], flag: str
) -> None:
    with pytest.raises(sl.UsageError, match=f"^{flag}: there are no validation images"):
        small(tmp_path / "runs", **changes)
    assert not (tmp_path / "runs").exists()


def test_a_threshold_for_the_watched_test_images_stands(tmp_path: Path) -> None:
    assert small(tmp_path, watch_test=True, stop_at_accuracy=0.01, epochs=9).epochs == 1


@pytest.mark.parametrize("changes", [{}, {"augment": "strong", "channels": 3}], ids=["plain", "strong"])
def test_the_sheet_shows_what_the_first_step_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    from sightline.drawing import augmentation
    from sightline.training.trainer import Trainer

    batches: list[np.ndarray] = []
    drawn: list[tuple[np.ndarray, np.ndarray | None]] = []
    real = Trainer.batch

    def batch(trainer: Trainer, step: int) -> Any:
        found = real(trainer, step)
        batches.append(found[1].numpy().copy())
        return found

    def draw(images: np.ndarray, *_: Any, originals: np.ndarray | None = None, **__: Any) -> None:
        drawn.append((images, originals))

    monkeypatch.setattr(Trainer, "batch", batch)
    monkeypatch.setattr(augmentation, "draw", draw)
    small(tmp_path, epochs=1, **changes)
    ((images, originals),) = drawn
    np.testing.assert_array_equal(images, batches[0][: len(images)])
    assert (originals is None) == (not changes)
    assert originals is None or (originals.shape == images.shape and (originals != images).any())


def test_wrapped_batches_flip_each_image_every_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training import trainer as loop

    seen: dict[int, list[bool]] = {}
    real = loop.build_augmentation

    def looking(*arguments: Any, **options: Any) -> Any:
        augment = real(*arguments, **options)

        def look(images: torch.Tensor, at: torch.Tensor, passes: Any) -> torch.Tensor:
            found = augment(images, at, passes)
            if len(at) == 64:
                for index, before, after in zip(at.tolist(), images, found, strict=True):
                    seen.setdefault(index, []).append(not torch.equal(before, after))
                    assert torch.equal(after, before) or torch.equal(after, before.flip(1))
            return found

        return look

    monkeypatch.setattr(loop, "build_augmentation", looking)
    small(tmp_path, last_batch="wrap", flip="alternate", batch_size=64, epochs=None, steps=12)
    for looks in seen.values():
        # What is drawn for augmentation.png comes last, out of turn.
        turns = [first != second for first, second in itertools.pairwise(looks[:4])]
        assert all(turns) and turns
    assert len({looks[0] for looks in seen.values()}) == 2


def test_classes_called_as_other_columns_have_columns_of_their_own(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    names = ("class id", "id", "label", "step")
    every = ImageSet.from_arrays(pixels, np.arange(40) % 4, [f"{index}.png" for index in range(40)], names)
    options = {name: value for name, value in SMALL.items() if not name.startswith("synthetic")}
    data = ImageData("own", every, None, None, {}, {})
    run = sl.train(data, runs=tmp_path, epochs=None, steps=1, log_probabilities_steps=1, **options).run
    rows = RunFolder(run).rows(PROBABILITIES)
    columns = ["class id", "class class id", "class label", "class step"]
    assert list(rows[0]) == ["step", "id", "label", *columns]
    for row in rows:
        assert row["step"] == "1" and names[int(row["id"].removesuffix(".png")) % 4] == row["label"]
        assert sum(float(row[column]) for column in columns) == pytest.approx(1, abs=1e-5)


def test_steps_end_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    result = small(tmp_path, epochs=None, steps=13)
    assert result.steps == 13
    rows = RunFolder(result.run).rows(RESULTS)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "9"), ("2", "13")]


def test_select_last_keeps_the_last_epoch(tmp_path: Path) -> None:
    folder = RunFolder(small(tmp_path, select="last", lr=1e-9).run)
    assert folder.best_weights.read_bytes() == folder.last_weights.read_bytes()
    folder = RunFolder(small(tmp_path, lr=1e-9).run)
    assert folder.best_weights.read_bytes() != folder.last_weights.read_bytes()


def test_batch_norm_refuses_batches_of_one(tmp_path: Path) -> None:
    with pytest.raises(sl.UsageError, match=r"^batch_size: "):
        small(tmp_path, model="resnet8", batch_size=1)


def test_out_of_memory_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training import step

    def no_room(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step.functional, "cross_entropy", no_room)
    with pytest.raises(sl.ResourceError, match="Use a smaller batch_size or image_size") as error:
        small(tmp_path)
    assert error.value.exit_code == 6


def test_a_training_imports_neither_a_compiler_nor_scikit_learn(tmp_path: Path) -> None:
    """Both take longer to import than most first trainings take."""
    code = """
import sys, sightline
few = {"steps": 2, "batch_size": 16, "threads": 1, "runs": sys.argv[1], "quiet": True}
for optimizer in ("muon", "sgd", "adam", "adamw", "adadelta", "rmsprop"):
    run = sightline.train("digits", optimizer=optimizer, **few)
sightline.resume(run.run, steps=3, quiet=True)
heavy = {"torch._dynamo", "torch._inductor", "sympy", "sklearn", "pandas", "scipy.stats", "onnxruntime"}
print(*sorted(heavy & set(sys.modules)), end="")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "")
