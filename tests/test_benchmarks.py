"""The benchmark's arithmetic, its plan, and that all sides have the same networks. Nothing is measured here."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed"
sys.path.insert(0, str(SPEED))

import bench  # noqa: E402
import figures  # noqa: E402
import ours  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402
import runs  # noqa: E402
import torch_networks  # noqa: E402

from sightline.models import build_model  # noqa: E402
from sightline.recipes import resolve  # noqa: E402

MACHINE = {"processor": "one", "torch": "2"}


def measurement(side: str, number: int, values: dict[str, float], **details: object) -> report.Measurement:
    about = {"case": "a case", "side": side, "round": number, "job": {}, "versions": {}}
    return {**about, "values": values, "details": details, "wall_seconds": 1.0, "at": "now", "commit": "c"}


def section(figure: str, target: float | None = None) -> plan.Section:
    sides = (plan.Side("Sightline", "ours.py", {}, 3), plan.Side("Keras", "keras_side.py", {}, 3))
    return plan.Section("a section", "a title", (plan.Case("a case", sides, (figure,), target),))


def document(**parts: object) -> dict[str, object]:
    empty = {key: [] for key in report.KEYS}
    return {**empty, "schema": report.SCHEMA, **parts}


# --- Statistics of rounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_spread_is_what_numpy_says(count: int) -> None:
    values = np.random.default_rng(count).random(count).tolist()
    spread = figures.Spread.of(values)
    assert spread.median == pytest.approx(np.median(values))
    assert (spread.least, spread.most, spread.n) == (min(values), max(values), count)
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.sd == pytest.approx(np.std(values, ddof=1) if count > 1 else 0)


def test_steps_that_come_in_bursts_are_as_fast_as_they_are() -> None:
    """Two workers deliver two batches at once, every two seconds: a second a step, which no single step takes."""
    ends = [100.0] + [100.0 + 2 * ((step + 1) // 2) for step in range(1, 13)]
    assert {b - a for a, b in itertools.pairwise(ends)} == {0.0, 2.0}
    assert figures.steady_seconds(ends, warmup=1, block=4) == [1.0, 1.0, 1.0]


def test_only_what_is_behind_the_warmup_counts() -> None:
    ends = [0.0, 50.0, 90.0, 91.0, 92.0, 93.0, 94.0, 95.0]
    assert figures.steady_seconds(ends, warmup=3, block=2) == [1.0, 1.0]
    with pytest.raises(ValueError, match="no block of 6 behind 3"):
        figures.steady_seconds(ends, warmup=3, block=6)


def test_ratios_are_by_round_and_above_one_where_we_are_better() -> None:
    ours_, theirs = {0: 10.0, 1: 30.0, 2: 7.0}, {0: 5.0, 1: 10.0}
    assert figures.ratios(ours_, theirs, more_is_better=True) == [2.0, 3.0]
    assert figures.ratios(ours_, theirs, more_is_better=False) == [0.5, pytest.approx(1 / 3)]


def test_the_share_of_the_peak() -> None:
    """A product of two matrices of side 1000 in a fifth of a second, where the peak is 100 GFLOP/s."""
    assert figures.flop_share(2 * 1000**3, 0.2, 100) == pytest.approx(10)


# --- The epoch that counts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curves", "epoch"),
    [
        ([[98.0, 99.0, 99.5]], 1),
        ([[98.0, 99.2, 99.5], [98.0, 98.7, 99.0]], 2),  # one seed was there an epoch earlier, the mean was not
        ([[98.9, 99.1], [98.9, 98.9], [98.9, 99.0]], 1),  # a mean of just 99
        ([[98.0, 98.9]], None),
        ([[98.0, 98.9, 99.9], [98.0, 98.9]], None),  # a seed that has no third epoch
        ([], None),
    ],
)
def test_the_first_epoch_whose_mean_reaches(curves: list[list[float]], epoch: int | None) -> None:
    assert figures.first_epoch_reaching(curves, 99.0) == epoch


def test_time_to_an_accuracy_is_taken_at_one_epoch_for_all_seeds() -> None:
    curves = [
        [{"seconds": 10.0, "test_accuracy": 0.985}, {"seconds": 20.0, "test_accuracy": 0.991}],
        [{"seconds": 12.0, "test_accuracy": 0.991}, {"seconds": 24.0, "test_accuracy": 0.992}],
    ]
    measured = [measurement("Keras", n, {}, curve=curve) for n, curve in enumerate(curves)]
    measured += [measurement("Sightline", n, {"seconds": 2.0, "test_accuracy": 99.3}) for n in range(2)]
    found = report.summarise(section("seconds", target=99.0), measured)
    (row,) = (r for r in found["summary"] if (r["side"], r["figure"]) == ("Keras", "seconds"))
    assert (row["least"], row["most"], row["n"]) == (20.0, 24.0, 2)
    (ratio,) = found["ratios"]
    assert ratio["each"] == [10.0, 12.0]
    assert found["notes"] == ["Keras: 99.15 % in epoch 2, by the mean of 2"]


def test_an_accuracy_that_is_never_reached_has_no_time() -> None:
    curve = [{"seconds": 10.0, "test_accuracy": 0.98}]
    measured = [measurement("Keras", 0, {}, curve=curve), measurement("Sightline", 0, {"seconds": 2.0})]
    found = report.summarise(section("seconds", target=99.0), measured)
    assert [row["side"] for row in found["summary"]] == ["Sightline"]
    assert found["ratios"] == []
    assert "no epoch of 1 has a mean of 99 % (the best is 98.00 %)" in found["notes"][0]


def test_without_a_target_the_last_epoch_counts() -> None:
    curve = [{"seconds": 10.0, "test_accuracy": 0.98}, {"seconds": 20.0, "test_accuracy": 0.97}]
    found = report.summarise(section("seconds"), [measurement("Keras", 0, {}, curve=curve)])
    assert {row["figure"]: row["median"] for row in found["summary"]} == {"seconds": 20.0, "test_accuracy": 97.0}


# --- Tables and documents ---------------------------------------------------------------------------------------------


def test_a_share_is_of_the_peak_of_the_precision_and_of_the_round() -> None:
    measured = [
        measurement("the machine", 0, {"fp32_gflops": 100.0, "bf16_gflops": 400.0}),
        measurement("the machine", 1, {"fp32_gflops": 100.0, "bf16_gflops": 200.0}),
    ]
    measured += [
        measurement("Sightline", number, {"images_per_second": 100.0}, precision="bf16", flops_an_image=1e9)
        for number in range(2)
    ]
    shares = [m["values"]["share"] for m in report.with_shares(measured) if "share" in m["values"]]
    assert shares == pytest.approx([25.0, 50.0])


def test_the_table_says_medians_spread_n_and_ratios() -> None:
    measured = [measurement("Sightline", n, {"images_per_second": v}) for n, v in enumerate((300.0, 200.0, 250.0))]
    measured += [measurement("Keras", n, {"images_per_second": 100.0}) for n in range(3)]
    lines = report.table(report.summarise(section("images_per_second"), measured)).splitlines()
    assert lines[1] == "a section: a title"
    cells = [line.split() for line in lines[3:]]
    assert cells[0][-5:] == ["250", "200", "300", "3", "images/s"]
    assert cells[1][-5:] == ["100", "100", "100", "3", "images/s"]
    assert cells[2][-5:] == ["2.50", "2.00", "3.00", "3", "x"]


def test_sides_that_train_different_networks_are_told() -> None:
    measured = [measurement("Sightline", 0, {}, parameters=10), measurement("Keras", 0, {}, parameters=11)]
    assert report.summarise(section("images_per_second"), measured)["notes"] == [
        "a case: not the same network: Sightline 10, Keras 11 parameters"
    ]


def test_a_document_of_this_schema_has_no_problems() -> None:
    measured = [measurement("Sightline", 0, {"seconds": 1.0}), measurement("Keras", 0, {"seconds": 2.0})]
    found = report.summarise(section("seconds"), measured)
    assert report.problems(json.loads(json.dumps(document(sections=[found])))) == []
    assert report.problems(document(schema=0)) == ["schema is 0, 1 is known"]
    lacking = document()
    del lacking["hardware"]
    assert report.problems(lacking) == ["document: hardware is missing"]
    found["summary"][0]["median"] = 5.0
    del found["ratios"][0]["n"]
    found["measurements"][0]["values"]["speed"] = 1.0
    assert report.problems(document(sections=[found])) == [
        "a section/measurements: figure speed is not known",
        "a section/summary: the median of a case is not between least and most",
        "a section/ratios: n is missing",
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (99.95, "100.0"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_show_what_means_something(value: float, shown: str) -> None:
    assert figures.number(value) == shown


# --- The plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(plan.LENGTHS))
def test_every_side_of_a_plan_can_be_asked(name: str) -> None:
    for found in plan.sections(plan.LENGTHS[name], threads=2):
        for case in found.cases:
            assert set(case.ratios) <= set(figures.FIGURES)
            for side in case.sides:
                assert (SPEED / side.program).is_file()
                job = json.dumps(side.job_of(1))
                assert "/" not in job, "a path would be published"
                assert f'"{side.job["task"]}":' in (SPEED / side.program).read_text(encoding="utf-8")


def test_what_takes_hours_is_only_in_the_full_length() -> None:
    names = {n: [s.name for s in plan.sections(plan.LENGTHS[n], 2)] for n in ("quick", "full")}
    assert set(names["full"]) - set(names["quick"]) == {"accuracy-fashion-mnist", "accuracy-cifar10"}


def test_all_sides_follow_each_other_and_every_second_round_goes_backwards() -> None:
    sides = (plan.Side("a", "ours.py", {}, 3), plan.Side("b", "keras_side.py", {}, 2))
    turns = [(side.name, number) for side, number in bench.turns(plan.Case("a case", sides))]
    assert turns == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2)]


def test_several_seeds_all_train_to_the_end() -> None:
    (mnist,) = (s for s in plan.sections(plan.LENGTHS["quick"], 2) if s.name == "accuracy-mnist")
    keras = mnist.cases[0].sides[-1]
    assert keras.job["stop_at"] == 0.99
    assert "stop_at" not in plan.with_rounds(mnist, 5).cases[0].sides[-1].job
    assert keras.job_of(3)["seed"] == 3


# --- What is kept -----------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    side, other = plan.Side("a", "ours.py", {"x": 1}, 2), plan.Side("b", "keras_side.py", {"x": 1}, 2)
    path = tmp_path / "quick.jsonl"
    store = runs.Store(path, "now")
    store.begin(MACHINE)
    store.add(side, measurement("a", 0, {"seconds": 1.0}))
    store.add(other, measurement("b", 0, {"seconds": 2.0}))
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"key": "half a li')
    assert len(runs.Store(path, "changed")) == 1, "only the peer's counts when the sources have changed"
    again = runs.Store(path, "now")
    assert (again.machine, len(again)) == (MACHINE, 2)
    found = again.get(side, "another case", 0)
    assert found is not None
    assert (found["case"], found["values"]) == ("another case", {"seconds": 1.0})
    assert again.get(side, "a case", 1) is None
    again.discard_used()
    left = runs.Store(path, "now")
    assert (left.machine, len(left)) == (MACHINE, 1)
    assert left.get(other, "a case", 0) is not None


# --- The same networks on all sides -----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", sorted(torch_networks.NETWORKS))
def test_the_plain_networks_have_our_shapes(network: str) -> None:
    settings = ours.build_settings({}, ours.MODELS[network]).model
    assert settings is not None
    height, width, channels = ours.side.SHAPES[network]
    built = build_model(settings, channels=channels, image_size=(height, width), num_classes=10, seed=0)
    theirs = torch_networks.NETWORKS[network]()
    assert sorted(tuple(p.shape) for p in built.parameters()) == sorted(tuple(p.shape) for p in theirs.parameters())


def test_the_plain_r3_has_the_shapes_of_our_recipe() -> None:
    settings = resolve("fashion-mnist", "fashion-mnist-resnet18", {}).model
    assert settings is not None
    built = build_model(settings, channels=1, image_size=(96, 96), num_classes=10, seed=0)
    theirs = torch_networks.resnet18(r3=True)
    assert sorted(tuple(p.shape) for p in built.parameters()) == sorted(tuple(p.shape) for p in theirs.parameters())


def test_operations_of_r2_are_counted_by_hand() -> None:
    """A multiply-add is two; backward is twice forward, but the first convolution has no gradient of its input."""
    conv1, conv2 = 28 * 28 * 5 * 5 * 1 * 32, 14 * 14 * 5 * 5 * 32 * 64
    dense = 7 * 7 * 64 * 1024 + 1024 * 10
    settings = ours.build_settings({}, ours.MODELS["R2"]).model
    assert settings is not None
    found = ours.flops_and_parameters(settings, "R2")
    assert found["flops_an_image"] == 2 * (2 * conv1 + 3 * (conv2 + dense))


def test_a_command_is_written_down_without_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data-dir", str(tmp_path / "data"), "--cifar10-folder", "pictures", "--out", str(tmp_path / "x.json")]
    monkeypatch.setattr(sys, "argv", ["bench.py", *words, "--rounds", "2"])
    told = bench.command(bench.arguments())
    assert told == "python benchmarks/speed/bench.py --data-dir DIR --cifar10-folder DIR --out FILE --rounds 2"
