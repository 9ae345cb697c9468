"""Networks of timm through all that Sightline does with a network, a line each.

    python benchmarks/timm_networks.py [NAME ...] [--json build/timm_networks.json]

Each network begins from a file of timm's own tensors (seeded, not trained: no network is needed). Then: its logits for
pictures beside those of timm's own model, which loaded the same file, pictures scaled by Sightline for both; one step
that trains all of it; a last layer fitted with the rest frozen; its model file, read again; Grad-CAM; and its ONNX
file, by the gate of `sightline export`. Printed are the largest differences, of a logit over the largest logit and of
an ONNX file's probability, and whether all held.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import sightline as sl
from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.models.pretrained import load_pretrained
from sightline.recipes.timm_catalog import import_timm, timm_entry
from sightline.settings import TimmSettings

NETWORKS = (
    "beit_base_patch16_224", "caformer_s18", "cait_xxs24_224", "coatnet_nano_rw_224", "convmixer_768_32",
    "convnext_atto", "convnextv2_atto", "cs3darknet_focus_s", "darknet53", "davit_tiny", "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224", "densenet121", "dla46_c", "edgenext_xx_small", "efficientformer_l1",
    "efficientformerv2_s0", "efficientnet_b0", "efficientvit_b0", "eva02_tiny_patch14_224", "fastvit_t8",
    "gcvit_xxtiny", "ghostnet_100", "hgnetv2_b0", "hrnet_w18_small", "inception_v3", "lcnet_050", "levit_128s",
    "maxvit_tiny_tf_224", "mixer_s32_224", "mobilenetv3_small_100", "mobilenetv4_conv_small", "mobileone_s0",
    "mobilevit_xxs", "mnasnet_small", "mvitv2_tiny", "nfnet_f0", "pit_ti_224", "poolformer_s12", "pvt_v2_b0",
    "regnety_002", "repvit_m1", "res2net50_14w_8s", "resnest14d", "resnet18", "resnetv2_50", "resnext50_32x4d",
    "rexnet_100", "seresnet50", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "tf_efficientnet_lite0",
    "tiny_vit_5m_224", "tresnet_m", "vgg11_bn", "vit_tiny_patch16_224", "volo_d1_224", "xception41p",
    "xcit_nano_12_p16_224",
)  # fmt: skip
PICTURES = 12


def pictures(folder: Path, seed: int = 0) -> None:
    """Stripes in two directions, a folder for each, with noise."""
    generator = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(240), np.arange(200))
    for name, way in (("across", y), ("down", x)):
        (folder / name).mkdir(parents=True)
        for number in range(PICTURES):
            wave = 128 + 90 * np.sin(way / generator.uniform(4, 9) + generator.uniform(0, 6))
            noisy = wave[..., None] + generator.normal(0, 25, (200, 240, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")


def write_tensors(name: str, file: Path) -> None:
    """Write timm's initial tensors; branches' scales that begin near 0 are larger, or pictures would hardly differ."""
    torch.manual_seed(0)
    model = import_timm().create_model(name)
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if tensor.ndim == 1 and key.rpartition(".")[2].startswith(("gamma", "ls", "scale")):
                tensor.clamp_(min=0.3)
    save_file(model.state_dict(), file)


def logits_differ(name: str, file: Path) -> float | None:
    """The largest difference of a logit from timm's own, over the largest; None where our last layer begins fresh."""
    entry = timm_entry(name)
    if not entry.classes:  # weights without a last layer
        return None
    settings = TimmSettings(architecture=name)
    network = build_model(settings, channels=3, image_size=(entry.side,) * 2, num_classes=entry.classes, seed=1)
    report = load_pretrained(network, settings, str(file))
    if any(tensor.startswith("head.") for tensor in report.fresh):
        return None
    theirs = import_timm().create_model(name, checkpoint_path=str(file)).eval()
    images = torch.rand(2, 3, entry.side, entry.side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = theirs(images), network.eval()(images)
    return float((found - expected).abs().max() / expected.abs().max())


def explained(run: Path) -> str:
    """Whether there are maps of where the network looked."""
    try:
        sl.test(run, explain=2)
    except SightlineError as error:
        return str(error.found)
    return "maps"


def through(name: str, folder: Path, place: Path) -> dict[str, Any]:
    """Do everything with one network."""
    began = time.perf_counter()
    file = place / f"{name}.safetensors"
    write_tensors(name, file)
    common: dict[str, Any] = {
        "model": f"timm/{name}", "pretrained": str(file), "runs": place / name, "quiet": True,
        "near_duplicates": "anywhere", "batch_size": 4, "checkpoint_epochs": None, "device": "cpu",
    }  # fmt: skip
    row: dict[str, Any] = {"network": name, "logits": logits_differ(name, file)}
    sl.train(folder, recipe="probe", freeze="none", head="fresh", steps=1, **common)
    row["step"] = "done"
    probe = sl.train(folder, recipe="probe", precision="fp32", **common)
    row["fitted"] = f"{probe.test_accuracy:.0%}"
    picture = folder / "across" / "0.png"
    again = sl.load(probe.run).predict(picture)
    row["explain"] = explained(probe.run)
    exported = sl.export(probe.run)
    row["onnx"] = float(exported.max_difference)
    onnx = sl.load(exported.path).predict(picture)
    row["predict"] = max(abs(onnx[0].probabilities[name] - again[0].probabilities[name]) for name in ("across", "down"))
    row["seconds"] = round(time.perf_counter() - began, 1)
    return row


def main() -> None:
    """Take each network through, and count those that held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        pictures(folder)
        for name in options.networks:
            with tempfile.TemporaryDirectory(dir=place) as own:
                try:
                    row = through(name, folder, Path(own))
                except Exception as error:  # what it is, in its line; the others go on
                    traceback.print_exc()
                    row = {"network": name, "failed": f"{type(error).__name__}: {str(error)[:200]}"}
            rows.append(row)
            print(json.dumps(row), flush=True)
    held = [row for row in rows if "failed" not in row]
    print(f"{len(held)} of {len(rows)} held")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
