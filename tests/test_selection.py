"""The one rule of which epoch is selected."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sightline.runs.selection import is_better, selected_row


def row(epoch: int, accuracy: float | str, macro_f1: float | str = "") -> Mapping[str, str]:
    return {"epoch": str(epoch), "val_accuracy": str(accuracy), "val_macro_f1": str(macro_f1)}


def test_a_better_epoch_takes_the_place_and_the_earliest_of_equals_keeps_it() -> None:
    assert is_better(0.0, None, "accuracy")
    assert is_better(0.6, 0.5, "macro_f1")
    assert not is_better(0.5, 0.5, "accuracy") and not is_better(0.4, 0.5, "accuracy")
    assert is_better(0.4, 0.5, "last")


@pytest.mark.parametrize(("select", "epoch"), [("accuracy", "2"), ("macro_f1", "3"), ("last", "5")])
def test_the_selected_row_is_the_one_that_training_kept(select: str, epoch: str) -> None:
    rows = [row(1, 0.5, 0.4), row(2, 0.9, 0.4), row(3, 0.7, 0.8), row(4, ""), row(5, 0.9, 0.8), row(6, "")]
    found = selected_row(rows, select)  # type: ignore[arg-type]
    assert found is not None and found["epoch"] == epoch


def test_rows_of_numbers_are_read_too_and_without_validation_there_is_none() -> None:
    numbers = [{"epoch": 1, "val_accuracy": 0.0}, {"epoch": 2, "val_accuracy": 0.0}, {"epoch": 3}]
    assert selected_row(numbers, "accuracy") == numbers[0]
    assert selected_row(numbers, "last") == numbers[1]
    assert selected_row([], "last") is None and selected_row([{"epoch": 1, "loss": 0.5}], "accuracy") is None
