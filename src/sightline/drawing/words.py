"""The words in the plots: English, or those of the catalogue in the language that the command line speaks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sightline.language import asked
from sightline.language.catalogue import sections


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


def words_in(language: str) -> Words:
    """Give the words of `en` or `zh`; English without a font for them."""
    if not _draws(language):
        return ENGLISH
    known = sections(language)["plots"]
    return Words(**{name: known.text(text) for name, text in asdict(ENGLISH).items()})


def spoken() -> Words:
    """Give the words of the language that the command line was asked to speak; English to everybody else."""
    return words_in(asked())


def lettered(text: str, section: str = "plots") -> str:
    """Give another text for a picture, of a section of the catalogue, in that language."""
    return sections(asked())[section].text(text) if _draws(asked()) else text


def _draws(language: str) -> bool:
    from sightline.drawing import canvas

    return language != "en" and canvas.draws_chinese()
