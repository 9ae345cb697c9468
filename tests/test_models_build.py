from __future__ import annotations

import json
import math

import pytest
import torch
from pydantic import TypeAdapter
from scipy import stats
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.augment import build_augmentation
from sightline.classifier import model_file
from sightline.classifier.header import ModelHeader
from sightline.data.preprocessing import unit_preprocessing
from sightline.errors import UsageError
from sightline.models import Network, build_model, summarize
from sightline.models.initializers import initialize
from sightline.models.pretrained import load_pretrained
from sightline.models.pretrained.fit import first_convolution
from sightline.models.sprint import build_sprint
from sightline.settings import AugmentSettings
from sightline.settings.model import (
    MODEL_PRESETS,
    AlexNetSettings,
    CnnSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    PadResNetSettings,
    ResNetSettings,
    SprintSettings,
)

ADAPTER = TypeAdapter(ModelSettings)
INITS = ("he", "glorot", "variance_scaling", "torch")
SMALL = [
    CnnSettings(conv_widths=(4,), hidden=8),
    ResNetSettings(stem="small", stage_depths=(1, 1), stage_widths=(4, 8), conv_bias=True),
    ResNetSettings(resnet_version=2, block="bottleneck", stage_depths=(1, 1), stage_widths=(4, 8)),
    PadResNetSettings(block_widths=(16, 32)),
    PadResNetSettings(norm="batch"),
    EfficientNetSettings(width_factor=0.3, depth_factor=0.4),
]


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_every_preset_gives_logits_for_a_small_image(name, monkeypatch):
    # shapes only, without storage: the large ones take seconds
    monkeypatch.setattr(Network, "to_empty", lambda self, device: self)
    monkeypatch.setattr("sightline.models.build.initialize", lambda *_: None)
    model = build_model(
        ADAPTER.validate_python(dict(MODEL_PRESETS[name])), channels=1, image_size=(64, 72), num_classes=4
    )
    summary = summarize(model, 1, (64, 72))
    last = [part for part in summary.parts if part.output is not None][-1]
    assert (last.name, last.output) == ("head.dense", (1, 4))
    assert sum(part.parameters for part in summary.parts) == sum(p.numel() for p in model.parameters())
    assert sum(part.macs for part in summary.parts) == summary.macs
    assert summary.parameters == sum(p.numel() for p in model.parameters())


class Operations(TorchDispatchMode):
    """Writes down which operations there were."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


# Those for which torch.use_deterministic_algorithms raises on an NVIDIA GPU, by its documentation.
NOT_DETERMINISTIC = {
    "avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward",
    "max_unpool2d", "max_unpool3d", "upsample_linear1d_backward", "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward", "upsample_trilinear3d_backward", "reflection_pad1d_backward",
    "reflection_pad2d_backward", "reflection_pad3d_backward", "nll_loss2d_forward", "_ctc_loss_backward",
    "_embedding_bag_backward", "put", "put_", "histc", "bincount", "median", "grid_sampler_2d_backward",
    "grid_sampler_3d_backward", "cumsum", "scatter_reduce", "scatter_reduce_",
}  # fmt: skip
ONE_A_KIND = [
    CnnSettings(conv_widths=(4,), hidden=8, batch_norm=True),
    ResNetSettings(stem="small", stage_depths=(1, 1), stage_widths=(16, 32), conv_bias=True),
    ResNetSettings(stem="imagenet", stage_depths=(1, 1), stage_widths=(16, 32), shortcut="stride_pad"),
    ResNetSettings(resnet_version=2, block="bottleneck", stage_depths=(1, 1), stage_widths=(16, 32)),
    PadResNetSettings(block_widths=(16, 32)),
    PadResNetSettings(norm="batch"),
    SprintSettings(stage_widths=(16, 16)),
    AlexNetSettings(hidden=8),
    AlexNetSettings(form="small", hidden=8, norm="lrn"),
    GoogLeNetSettings(),
    GoogLeNetSettings(batch_norm=True),
    EfficientNetSettings(width_factor=0.3, depth_factor=0.4),
]


@pytest.mark.parametrize("settings", ONE_A_KIND, ids=lambda settings: settings.family)
def test_every_family_ends_in_maps_and_takes_its_own_weights(settings, tmp_path):
    network = build_model(settings, channels=3, image_size=(64, 64), num_classes=3, seed=0).eval()
    with torch.no_grad():
        assert network.forward_features(torch.zeros(1, 3, 64, 64)).ndim == 4
    preprocessing = unit_preprocessing((64, 64, 3))
    header = ModelHeader(model=settings, class_names=("a", "b", "c"), preprocessing=preprocessing)
    model_file.save(tmp_path / "own.safetensors", network.state_dict(), header)
    other = build_model(settings, channels=3, image_size=(64, 64), num_classes=3, seed=1)
    report = load_pretrained(other, settings, str(tmp_path / "own.safetensors"))
    assert not report.fresh and not report.unused
    state = other.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("settings", ONE_A_KIND, ids=lambda settings: settings.family)
def test_a_training_step_has_only_operations_that_are_deterministic_on_a_gpu(settings):
    model = build_model(settings, channels=3, image_size=(64, 64), num_classes=3, seed=0)
    everything = AugmentSettings(
        shift=2, rotate=5, zoom=0.1, flip="alternate", fill="reflect", erase=0.5, cutout=2, contrast=0.1
    )
    augment = build_augmentation(everything, count=4, seed=0, device=torch.device("cpu"))
    with Operations() as operations:
        pixels = augment(torch.zeros(4, 64, 64, 3, dtype=torch.uint8), torch.arange(4), 1)
        found = model(pixels.permute(0, 3, 1, 2).float())
        heads = found if isinstance(found, tuple) else (found,)
        losses = [nn.functional.cross_entropy(logits, torch.arange(4) % 3, label_smoothing=0.1) for logits in heads]
        torch.stack(losses).sum().backward()
    assert {"nll_loss_backward", "grid_sampler_2d"} <= operations.names
    assert not operations.names & NOT_DETERMINISTIC


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("settings", SMALL)
def test_the_seed_alone_decides_the_weights(settings, init):
    settings = settings.model_copy(update={"init": init})

    def build(seed: int | None) -> Network:
        return build_model(settings, channels=1, image_size=(8, 8), num_classes=3, seed=seed)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, other, unseeded = build(7).state_dict(), build(8).state_dict(), build(None).state_dict()
    state = first.state_dict()
    assert all(torch.equal(state[name], second[name]) for name in state)
    assert not torch.equal(state["head.dense.weight"], other["head.dense.weight"])
    assert not torch.equal(state["head.dense.weight"], unseeded["head.dense.weight"])
    assert all(value.isfinite().all() and value.device.type == "cpu" for value in state.values())
    for name, module in first.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all() and module.bias.eq(0).all(), name
            assert module.running_mean.eq(0).all() and module.running_var.eq(1).all(), name
            assert module.num_batches_tracked == 0, name


def drawn(layer: nn.Module, init: str) -> torch.Tensor:
    initialize(layer, init, torch.Generator().manual_seed(0))
    return layer.weight.detach().double().flatten()


@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("init", INITS)
def test_initial_weights_follow_their_distribution(init, kind):
    layer = nn.Conv2d(32, 96, 3) if kind == "conv" else nn.Linear(300, 120)
    fan_in, fan_out = (32 * 9, 96 * 9) if kind == "conv" else (300, 120)
    sample = drawn(layer, init)
    framework = stats.uniform(-1 / math.sqrt(fan_in), 2 / math.sqrt(fan_in))
    limit = math.sqrt(6 / (fan_in + fan_out))
    glorot = stats.uniform(-limit, 2 * limit)
    cut = stats.truncnorm(-2, 2)
    expected = {
        ("he", "conv"): stats.norm(0, math.sqrt(2 / fan_out)),
        ("variance_scaling", "conv"): stats.truncnorm(-2, 2, scale=math.sqrt(1 / fan_in) / cut.std()),
        ("he", "dense"): framework,
        ("torch", kind): framework,
    }.get((init, kind), glorot)
    assert stats.kstest(sample.numpy(), expected.cdf).pvalue > 1e-3
    assert float(sample.std()) == pytest.approx(expected.std(), rel=0.02)
    if init == "torch":
        assert layer.bias.abs().max() > 0
    else:
        assert not layer.bias.any()


def test_the_torch_rule_draws_what_torch_draws():
    torch.manual_seed(5)
    theirs = nn.Conv2d(3, 8, 3)
    ours = nn.Conv2d(3, 8, 3)
    initialize(ours, "torch", torch.Generator().manual_seed(5))
    assert torch.allclose(ours.weight, theirs.weight, rtol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "size", "classes", "message"),
    [(1, (0, 8), 2, "at least 1x1"), (0, (8, 8), 2, "channels: 0 found"), (1, (8, 8), 0, "classes: 0 found")],
)
def test_counts_below_one_are_refused(channels, size, classes, message):
    with pytest.raises(UsageError, match=message):
        build_model(ResNetSettings(), channels=channels, image_size=size, num_classes=classes)


def test_summary_neither_runs_nor_changes_the_model():
    model = build_model(ResNetSettings(), channels=3, image_size=(64, 64), num_classes=10, seed=0)
    model.get_submodule("body.stage1").eval()
    model.get_parameter("head.dense.weight").requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    generator = torch.get_rng_state()
    summarize(model, 3, (64, 64))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_whitening_stem_counts_as_the_convolution_that_it_is():
    networks = [
        build_model(SprintSettings(stem=stem), channels=3, image_size=(32, 32), num_classes=10, seed=0)
        for stem in ("whitening", "conv")
    ]
    counts = [summarize(network, 3, (32, 32)).macs for network in networks]
    assert counts[0] == counts[1]
    assert [first_convolution(network) for network in networks] == ["body.stem.layer.filters", "body.stem.layer.weight"]


@pytest.mark.parametrize("settings", SMALL)
def test_a_large_image_is_summarized_without_values_and_alike(settings, monkeypatch):
    model = build_model(settings, channels=1, image_size=(12, 12), num_classes=3, seed=0)
    computed = summarize(model, 1, (12, 12))
    empty, tensors = torch.zeros, []
    monkeypatch.setattr(torch, "zeros", lambda *a, **k: tensors.append(empty(*a, **k)) or tensors[-1])
    monkeypatch.setattr("sightline.models.summary.COMPUTED_PIXELS", 100)
    assert summarize(model, 1, (12, 12)) == computed
    assert [tensor.device.type for tensor in tensors] == ["meta"]


def test_memory_of_a_new_network_is_that_of_torch():
    with torch.device("meta"):
        network, other = (build_sprint(SprintSettings(), 1, (28, 28), 4) for _ in range(2))
    network.body.requires_grad_(False)
    other.body.requires_grad_(False)
    network.to_empty(device="cpu")
    nn.Module.to_empty(other, device="cpu")
    ours, theirs = ([(n, t.shape, t.dtype, t.stride(), t.device, t.requires_grad) for n, t in
                     (*m.named_parameters(), *m.named_buffers())] for m in (network, other))  # fmt: skip
    assert ours == theirs


def test_summary_rows_are_the_parts_a_reader_knows():
    model = build_model(ResNetSettings(), channels=1, image_size=(224, 224), num_classes=10, seed=0)
    summary = summarize(model, 1, (224, 224))
    shapes = {part.name: part.output for part in summary.parts}
    # the output of each part of ResNet-18, as table 1 of arXiv 1512.03385 gives them
    assert list(shapes.items()) == [
        ("body.stem", (1, 64, 112, 112)),
        ("body.stem_pool", (1, 64, 56, 56)),
        ("body.stage1.block1", (1, 64, 56, 56)),
        ("body.stage1.block2", (1, 64, 56, 56)),
        ("body.stage2.block1", (1, 128, 28, 28)),
        ("body.stage2.block2", (1, 128, 28, 28)),
        ("body.stage3.block1", (1, 256, 14, 14)),
        ("body.stage3.block2", (1, 256, 14, 14)),
        ("body.stage4.block1", (1, 512, 7, 7)),
        ("body.stage4.block2", (1, 512, 7, 7)),
        ("head.pool", (1, 512)),
        ("head.dense", (1, 10)),
    ]
    assert summary.parts[0].macs == 112 * 112 * 49 * 64
    assert json.loads(json.dumps(summary.to_dict()))["parts"][-1]["parameters"] == 5130


def test_summary_of_ones_own_module():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.twice = nn.Conv2d(3, 3, 3, padding=1, groups=3)
            self.never = nn.Linear(2, 2)
            self.last = nn.Linear(3, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.twice(self.twice(x * self.scale)).mean((2, 3)))

    summary = summarize(Own(), 3, (4, 4))
    rows = {part.name: (part.output, part.parameters, part.macs) for part in summary.parts}
    assert rows == {
        "(itself)": ((1, 5), 1, 0),
        "twice": ((1, 3, 4, 4), 30, 2 * 4 * 4 * 3 * 9),
        "never": (None, 6, 0),
        "last": ((1, 5), 20, 15),
    }
    assert (summary.parameters, summary.macs) == (57, 2 * 4 * 4 * 3 * 9 + 15)
    with pytest.raises(UsageError, match="cannot take an input of 1x1x4x4"):
        summarize(Own(), 1, (4, 4))


@pytest.mark.parametrize("settings", SMALL)
def test_networks_compile_to_one_graph(settings):
    model = build_model(settings, channels=1, image_size=(12, 12), num_classes=3, seed=0).eval()
    x = torch.rand(2, 1, 12, 12)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(x), model(x), atol=1e-6)
