"""The mistakes of the highest confidence, and where the network looked."""

from __future__ import annotations

from sightline.reporting.blocks import Block, Paragraph, Section, Slide
from sightline.reporting.facts import Run
from sightline.reporting.numerals import whole
from sightline.reporting.pictures import MOST_MISTAKES, Drawn
from sightline.reporting.words import Words
from sightline.runs.folder import PREDICTIONS


def section(run: Run, drawn: Drawn, words: Words, side: str = "") -> list[Section]:
    """Show a tested run's mistakes; `side` is its name in a comparison. Nothing where it has no stored answers."""
    predictions, title = run.predictions, words("mistakes")
    if predictions is None or run.metrics is None:
        return []
    wrong = int((predictions.predicted() != predictions.labels).sum())
    shown = {"count": min(wrong, MOST_MISTAKES), "wrong": whole(wrong)}
    if not wrong:
        caption = words("no_mistakes")
    elif side:
        caption = words("mistakes_shown_side", side=side, seed=run.settings.training.seed, **shown)
    else:
        caption = words("mistakes_shown", **shown)
    gallery = drawn.mistakes(run, caption) if wrong else None
    explanations = drawn.explanations(run)
    blocks: list[Block]
    if gallery is not None:
        blocks = [gallery]
        slides = [Slide(title, picture=gallery)]
    else:
        said = words("mistakes_missing", wrong=whole(wrong)) if wrong else caption
        blocks = [Paragraph(run.test_cell(said, PREDICTIONS))]
        slides = [Slide(title, [said])]
    if explanations is not None:
        blocks.append(explanations)
        slides.append(Slide(words("explained"), picture=explanations))
    return [Section("mistakes", title, blocks, slides)]
