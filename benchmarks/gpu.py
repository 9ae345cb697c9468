"""What a GPU gives: steps by form, against the plain PyTorch loop, and whole runs of a recipe.

    python benchmarks/gpu.py [--data-dir DIR] [--recipe cifar10] [--seeds 20] [--rounds 7]
    python benchmarks/gpu.py --smoke

Needs a CUDA GPU and nothing but Sightline's own dependencies. In each round all sides follow each other: every form of
`--execution`, the recorded one also with cuDNN's search for the fastest convolutions, and the loop that a PyTorch user
writes (float32, N,C,H,W, a DataLoader with workers, transforms image by image, `.to(device)`, `loss.item()`). Steps
are those of sightline.training: gathering, augmentation, learning rate, sums and all. Times are CUDA events' around
`--steps` steps; medians, least, most and n of the rounds, ratios within each round. What comes before the first
ordinary step (recording, compiling without its cache) is told apart, with the number of steps from which it pays:
the constants of sightline/training/execution.py. Whole runs alternate between eager and recorded, seed by seed,
behind one that does not count. Without `--data-dir` they learn synthetic images, and only their times mean anything.

Writes benchmarks/results/DATE-gpu.json, case by case. `--smoke` runs the same code, tiny, on the CPU, and says what it
leaves out.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import sightline as sl
from gpu_sides import FORMS, PLAIN, TRAINING, Case, OurSide, PlainSide, build_network, timed
from sightline import device as device_room
from sightline.files import atomic
from sightline.files.json_records import to_json
from sightline.recipes import load_recipe
from sightline.settings import build_settings
from sightline.training.cuda_graph import WARM_UP_STEPS
from sightline.training.prepare import RunData

RESNET18: Mapping[str, Any] = {"model": "resnet18", "stem": "small"}
CASES = (
    Case("ResNet-18, small stem, batch 128", RESNET18, 128),
    Case("ResNet-18, small stem, batch 512", RESNET18, 512),
    Case("ResNet-8, batch 512", {"model": "resnet8"}, 512),
)
SMOKE_CASES = (Case("ResNet-8, batch 8", {"model": "resnet8"}, 8, side=8, images=60),)


def memory(device: torch.device) -> tuple[int, int]:
    """Bytes that tensors hold, at most so far, and bytes taken from the device."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.max_memory_allocated(device), torch.cuda.memory_reserved(device)


def training_flops(case: Case, classes: int) -> float:
    """Floating-point operations of one training step's convolutions and matrix products, forward and backward."""
    network = build_network(case, classes)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, case.side, case.side)).sum().backward()
    return counter.get_total_flops() / 2 * case.batch_size


def matrix_peak(device: torch.device, size: int, repeats: int) -> float:
    """Measure FLOP/s of a large bf16 matrix product: the best of some."""
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    torch.mm(left, right)
    return max(2 * size**3 / timed(lambda: torch.mm(left, right), device) for _ in range(repeats))


def figures(values: list[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "n": len(values)}


def measure_case(case: Case, options: argparse.Namespace, peak: float, runs: Path) -> dict[str, Any]:
    """All sides of one case in rounds."""
    device = device_room.find_device(options.device)
    forms = [form for form in FORMS if device.type == "cuda" or form == "eager"]
    flags = {
        **case.model, **TRAINING, "data": "synthetic", "image_size": case.side, "channels": 3,
        "synthetic_count": case.images, "batch_size": case.batch_size, "device": options.device,
    }  # fmt: skip
    settings = {form: build_settings(None, {**flags, "execution": form.partition(",")[0]}) for form in forms}
    data = RunData.from_settings(settings["eager"], None)
    # What the process itself needs for its first steps, libraries and kernels, belongs to no form.
    OurSide(case, "eager", settings["eager"], data, runs).start()
    sides: dict[str, OurSide | PlainSide] = {}
    starts: dict[str, float] = {}
    held: dict[str, dict[str, int]] = {}
    for form in (*forms, PLAIN):
        allocated = reserved = 0
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
        if form == PLAIN:
            sides[form] = PlainSide(case, data.splits, data.preprocessing, device, options.workers)
        else:
            sides[form] = OurSide(case, form, settings[form], data, runs)
        starts[form] = timed(sides[form].start, device)
        most, taken = memory(device)
        held[form] = {"peak_bytes": most - allocated, "reserved_bytes": taken - reserved}
        print(f"  {form:22} first steps {starts[form]:8.2f} s   {sides[form].told or ''}", flush=True)
    seconds: dict[str, list[float]] = {form: [] for form in sides}
    for _ in range(options.rounds):
        for form, side in sides.items():
            side.ready()
            seconds[form].append(timed(lambda side=side: side.steps(options.steps), device) / options.steps)
    step = {form: statistics.median(values) for form, values in seconds.items()}
    flops = training_flops(case, len(data.splits.train.class_names))
    augmenting = augmentation_seconds(sides["eager"], options)
    row = {
        "case": case.name,
        "images_per_second": {f: figures([case.batch_size / s for s in values]) for f, values in seconds.items()},
        "step_seconds": {form: figures(values) for form, values in seconds.items()},
        "first_steps_seconds": starts,
        "memory": held,
        "flops_per_step": flops,
        "share_of_bf16_peak": {form: flops / value / peak for form, value in step.items()},
        "times_plain": {
            form: figures([plain / own for plain, own in zip(seconds[PLAIN], seconds[form], strict=True)])
            for form in forms
        },
        "augmentation_seconds": augmenting,
        "augmentation_share": {form: augmenting / step[form] for form in forms},
        "pays_from_steps": {form: pays_from(form, "eager", step, starts) for form in forms if form != "eager"},
    }
    if "compile" in forms:
        row["compiling_pays_over_graph_from_steps"] = pays_from("compile", "graph", step, starts)
    for form, values in row["images_per_second"].items():
        ratio = f"{row['times_plain'][form]['median']:6.2f} x plain" if form in forms else ""
        print(
            f"  {form:22} {values['median']:10,.0f} images/s ({values['least']:,.0f} to {values['most']:,.0f},"
            f" n={values['n']})  {row['share_of_bf16_peak'][form]:6.1%} of peak  {ratio}",
            flush=True,
        )
    print(f"  augmentation {augmenting * 1e6:,.0f} us a step; pays from steps: {row['pays_from_steps']}", flush=True)
    return row


def pays_from(form: str, other: str, step: Mapping[str, float], starts: Mapping[str, float]) -> float | None:
    """Steps after which `form` has made up for its start; None where it is not faster."""
    saved = step[other] - step[form]
    extra = (starts[form] - starts[other]) - (WARM_UP_STEPS + 1) * (step[form] - step[other])
    return max(0.0, extra) / saved if saved > 0 else None


def augmentation_seconds(side: OurSide | PlainSide, options: argparse.Namespace) -> float:
    """Seconds a step for shift and flip alone, the images gathered: with gathering less gathering."""
    assert isinstance(side, OurSide)
    trainer = side.trainer

    def prepare(augments: bool) -> None:
        for step in range(options.steps):
            indices = trainer.order.indices(step)
            at = device_room.send(torch.from_numpy(indices), trainer.compute.device)
            pixels, _ = trainer.images.gather(indices, at)
            if augments:
                trainer.augment(pixels, at, trainer.epochs_seen(step))

    device = trainer.compute.device
    pairs = [(timed(lambda: prepare(True), device), timed(lambda: prepare(False), device)) for _ in range(5)]
    return max(0.0, statistics.median(both - gathering for both, gathering in pairs)) / options.steps


def whole_runs(options: argparse.Namespace, runs: Path) -> dict[str, Any]:
    """A recipe from its first step to its test, seed by seed, eager and recorded in turn."""
    recipe = "synthetic" if options.smoke else options.recipe
    data = load_recipe(recipe).settings.get("data", {}).get("name", "digits") if options.data_dir else "synthetic"
    flags: dict[str, Any] = {"data_dir": options.data_dir, "device": options.device}
    if data == "synthetic":
        flags |= {"image_size": 8 if options.smoke else 32, "channels": 3, "data_dir": None}
        flags |= {"synthetic_count": 60 if options.smoke else 50_000}
    if options.smoke:
        flags |= {"steps": 3, "batch_size": 16}
    forms = ("eager",) if options.smoke else ("eager", "graph")
    found: dict[str, list[sl.TrainResult]] = {form: [] for form in forms}

    def once(form: str, seed: int) -> sl.TrainResult:
        return sl.train(data, recipe=recipe, runs=runs, quiet=True, seed=seed, execution=form, **flags)

    if not options.smoke:
        once("graph", 10_000)
    for seed in range(options.seeds):
        for form in forms:
            result = once(form, seed)
            found[form].append(result)
            print(f"  {form:8} seed {seed}: {result.train_seconds:.2f} s, test {result.test_accuracy}", flush=True)
    row: dict[str, Any] = {"recipe": recipe, "data": data, "runs": {}}
    for form, results in found.items():
        accuracies = [result.test_accuracy for result in results if result.test_accuracy is not None]
        deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        row["runs"][form] = {
            "train_seconds": figures([result.train_seconds for result in results]),
            "test_accuracies": accuracies,
            "test_accuracy": {"mean": statistics.fmean(accuracies), "sd": deviation, "n": len(accuracies)},
            "steps": results[0].steps,
        }
        mean, median = statistics.fmean(accuracies), row["runs"][form]["train_seconds"]["median"]
        print(f"  {recipe} on {data}, {form}: {mean:.4f} ± {deviation:.4f} (n={len(accuracies)}), {median:.2f} s")
    return row


def describe(device: torch.device) -> dict[str, Any]:
    """Device and versions."""
    compute = device_room.resolve(build_settings(None, {"device": str(device)}).device)
    about = to_json(device_room.environment(compute))
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "gpu_memory_bytes": properties.total_memory,
            "gpu_processors": properties.multi_processor_count,
        }
    return about


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Keep what has been measured so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, found)


def main() -> int:
    """Measure and write."""
    root = Path(__file__).parent
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data-dir", help="folder of the recipe's dataset; left out: synthetic images")
    parser.add_argument("--recipe", default="cifar10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="of the plain loop")
    parser.add_argument("--out", type=Path, default=root / "results" / f"{today}-gpu.json")
    parser.add_argument("--smoke", action="store_true", help="the same code, tiny, on the CPU")
    options = parser.parse_args()
    skipped: list[str] = []
    if options.smoke:
        options.device, options.rounds, options.steps, options.seeds, options.workers = "cpu", 2, 2, 2, 1
        options.data_dir = None
        torch.set_num_threads(1)
        skipped = [f"{form} (needs CUDA)" for form in FORMS if form != "eager"] + ["memory (needs CUDA)"]
        print(f"skipped: {', '.join(skipped)}")
    found: dict[str, Any] = {"date": today, "smoke": options.smoke, "skipped": skipped}
    with tempfile.TemporaryDirectory() as folder:
        # What is compiled here must not have been compiled before.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "inductor")
        device = device_room.find_device(options.device)
        found["environment"] = describe(device)
        peak = matrix_peak(device, 256 if options.smoke else 8192, 3 if options.smoke else 20)
        found["bf16_matrix_flops_per_second"] = peak
        print(f"{found['environment']['gpu'] or device}: bf16 matrix products {peak / 1e12:.2f} TFLOP/s", flush=True)
        found["steps"] = []
        for case in SMOKE_CASES if options.smoke else CASES:
            print(case.name, flush=True)
            found["steps"].append(measure_case(case, options, peak, Path(folder)))
            write(options.out, found)
        print("whole runs", flush=True)
        found["whole_runs"] = whole_runs(options, Path(folder))
    write(options.out, found)
    print(options.out)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except sl.SightlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
