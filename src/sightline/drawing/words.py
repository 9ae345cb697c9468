"""The English words in the plots; other languages replace them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words in the plots; English by default."""

    epoch: str = "epoch"
    accuracy: str = "accuracy"
    loss: str = "loss"
    train: str = "training"
    val: str = "validation"
    test: str = "test"
    selected: str = "selected: epoch {epoch}"
    true_class: str = "true class"
    predicted_class: str = "predicted class"
    share: str = "fraction of the true class"
    confidence: str = "confidence: probability of the predicted class"
    ece: str = "ECE {ece} over {bins} bins"
    gap: str = "gap between accuracy and confidence"
    calibrated: str = "accuracy = confidence"
    images: str = "images"
    test_accuracy: str = "test accuracy: seeds, mean and confidence interval"
    difference: str = "difference in points, with confidence interval"
    trial: str = "trial"
    best_so_far: str = "best so far"
    given_up: str = "stopped early or failed"
    val_accuracy: str = "validation accuracy"
    importance: str = "variation between trials that each setting explains"
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
