"""Groups of images: what makes them, and splits that keep each on one side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sightline as sl
from sightline.data import load, split
from sightline.data.groups import grouped, stratified_groups
from sightline.data.image_set import ImageSet
from sightline.errors import UsageError
from sightline.runs.folder import RunFolder
from sightline.settings import DataSettings

QUICK: dict[str, Any] = {"recipe": "none", "epochs": 1, "threads": 1, "precision": "fp32", "quiet": True}


def noise(seed: int, side: int = 24) -> Image.Image:
    """A picture that resembles no other: coarse noise, enlarged."""
    values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two classes, 12 people of five pictures each: CLASS/pNN/FRAME.png."""
    for person in range(12):
        for frame in range(5):
            place = tmp_path / "people" / ("left", "right")[person % 2] / f"p{person:02}"
            place.mkdir(parents=True, exist_ok=True)
            noise(100 * person + frame).save(place / f"{frame}.png")
    return tmp_path / "people"


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(6, 30), st.floats(0.05, 0.5))
@settings(max_examples=60, deadline=None)
def test_each_group_is_on_one_side_and_each_class_on_the_other(
    seed: int, classes: int, people_count: int, part: float
) -> None:
    rng = np.random.default_rng(seed)
    of_person = rng.integers(0, classes, people_count)
    groups = rng.integers(0, people_count, 20 * people_count)
    labels = of_person[groups]
    count = max(1, round(part * len(labels)))
    chosen = stratified_groups(labels, groups, count, seed)
    assert np.array_equal(chosen, stratified_groups(labels, groups, count, seed))
    others = np.setdiff1d(np.arange(len(labels)), chosen)
    assert not set(groups[chosen]) & set(groups[others])
    assert set(labels[others]) == set(labels)
    possible = {label for label in labels if len(set(groups[labels == label])) > 1}
    if len(chosen):
        largest = np.bincount(groups).max()
        assert len(chosen) <= count + len(set(labels)) * largest
    assert len(chosen) > 0 or not possible


def test_many_small_groups_give_each_class_its_share() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(600), 3)
    labels = np.repeat(rng.choice([0, 0, 0, 1, 2], 600), 3)
    chosen = stratified_groups(labels, groups, 270, 0)
    shares = np.bincount(labels[chosen]) / np.bincount(labels)
    assert np.abs(shares - 0.15).max() < 0.01


@pytest.mark.parametrize("rule", ["parent", r"/(p\d\d)/", r"p\d\d"])
def test_people_stay_on_one_side(people: Path, rule: str) -> None:
    found = load(DataSettings(name=str(people), group=rule, test_fraction=0.2))
    parts = split(found, DataSettings(name=str(people), group=rule, validation=0.2), False).parts()
    of = {name: {Path(image).parent.name for image in part.ids} for name, part in parts.items()}
    assert sum(map(len, parts.values())) == 60
    assert not (of["train"] & of["validation"] or of["train"] & of["test"] or of["validation"] & of["test"])
    assert all(part.class_counts().min() > 0 for part in parts.values())
    assert found.grouping is not None and (found.grouping.groups, found.grouping.joined) == (12, 0)


def test_a_random_split_has_people_on_both_sides(people: Path) -> None:
    found = load(DataSettings(name=str(people), test_fraction=0.2))
    assert found.test is not None and found.grouping is None
    assert {Path(name).parent for name in found.train.ids} & {Path(name).parent for name in found.test.ids}


def test_near_duplicates_are_kept_together_and_told(people: Path, tmp_path: Path, capsys: Any) -> None:
    for place in sorted(people.rglob("*.png"))[::4]:
        picture = Image.open(place)
        picture.save(place.with_name(f"again-{place.stem}.jpg"), quality=85)
    together = sl.train(people, runs=tmp_path / "runs", **QUICK)
    found = load(RunFolder.open(together.run).settings().data)
    splits = split(found, RunFolder.open(together.run).settings().data, False)
    sides = {name: part for part, images in splits.parts().items() for name in images.ids}
    for place in sorted(people.rglob("again-*.jpg")):
        twin = place.with_name(place.name.removeprefix("again-")).with_suffix(".png")
        assert sides[place.relative_to(people).as_posix()] == sides[twin.relative_to(people).as_posix()]
    told = json.loads((together.run / "splits.json").read_text())["grouping"]
    assert told == {"rule": None, "groups": 75, "joined": 15}
    assert sl.test(together.run).accuracy == together.test_accuracy
    sl.train(people, runs=tmp_path / "runs", **{**QUICK, "quiet": False})
    assert "15 near duplicates kept in the part" in capsys.readouterr().err
    apart = sl.train(people, runs=tmp_path / "runs", near_duplicates="anywhere", **QUICK)
    assert "grouping" not in json.loads((apart.run / "splits.json").read_text())


def test_the_report_and_the_card_say_how_it_was_split(people: Path, tmp_path: Path) -> None:
    run = sl.train(people, group="parent", runs=tmp_path, **QUICK).run
    assert "(rule: parent; 12 groups)" in sl.report(run).files[0].read_text("utf-8")
    assert "(rule: parent; 12 groups)" in (sl.card(run).path).read_text("utf-8")


def test_one_group_alone_cannot_be_split(tmp_path: Path) -> None:
    images = ImageSet.from_arrays(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 0, 1, 1]), list("abcd"), ("x", "y"))
    assert not len(stratified_groups(images.labels, np.zeros(4, np.int64), 1, 0))


@pytest.mark.parametrize(
    ("rule", "said"), [("(", "not a regular expression"), (r"q\d", "does not occur in left/p00/0.png and 59 more")]
)
def test_wrong_rules_are_told(people: Path, rule: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"^group: ") as caught:
        load(DataSettings(name=str(people), group=rule))
    assert said in str(caught.value)


def test_groups_that_are_there_are_kept(people: Path) -> None:
    found = load(DataSettings(name=str(people))).train
    images, grouping = grouped(found, None, near=False)
    assert images.groups is None and grouping is None
