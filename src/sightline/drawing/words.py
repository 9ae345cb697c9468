"""The words in drawings, in English; another language gives its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words in the plots, to be given in another language."""

    epoch: str = "epoch"
    accuracy: str = "accuracy"
    loss: str = "loss"
    train: str = "training"
    val: str = "validation"
    test: str = "test"
    selected: str = "selected: epoch {epoch}"
    true_class: str = "true class"
    predicted_class: str = "predicted class"
    share: str = "share of the true class"
    confidence: str = "confidence: probability of the answer"
    ece: str = "ECE {ece} over {bins} bins"
    gap: str = "gap to confidence"
    calibrated: str = "accuracy = confidence"
    images: str = "images"
    test_accuracy: str = "test accuracy: seeds, mean and its interval"
    difference: str = "difference in points, with its interval"
    trial: str = "trial"
    best_so_far: str = "best so far"
    given_up: str = "given up or failed"
    val_accuracy: str = "validation accuracy"
    importance: str = "how much of the difference between trials each setting explains"
    train_loss: str = "training loss"
    not_answer: str = "not {answer}, {confidence}"
    right_answer: str = "right, {confidence}"
    image: str = "image"
    answer: str = "answer"
    pictures: str = "training images"
    measured_heads: str = "measured, ± standard error"
    forecast: str = "forecast and its {confidence} interval"
    times: str = "{times}x: {accuracy}"


ENGLISH = Words()
