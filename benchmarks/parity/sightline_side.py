"""Sightline's side of the comparison with Keras: the same programs, from its recipes, through its own training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import seeded
import torch
from numpy.typing import NDArray
from programs import CLASSES, Program

from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import unit_preprocessing
from sightline.device import Compute, channels_last
from sightline.models import build_model
from sightline.recipes import resolve
from sightline.settings import Settings
from sightline.training.backbone import TrainedPart
from sightline.training.optimizers import FUSED, build_optimizer
from sightline.training.step import TrainingStep

Arrays = dict[str, NDArray[Any]]
CPU = torch.device("cpu")
KERAS_OPTIMIZER = ("cifar10-resnet18",)

# Which recipe a program is, and what is set otherwise: dropout, since two frameworks never drop the same units.
SETTINGS: dict[str, Callable[[], Settings]] = {
    "mnist-resnet-pad": lambda: resolve(None, "mnist-resnet-pad", {}),
    "mnist-resnet-pad-bn": lambda: resolve(None, "mnist-resnet-pad-bn", {}),
    "mnist-resnet-pad-doubling": lambda: resolve(None, "mnist-resnet-pad", {"block_widths": (16, 32, 32)}),
    "mnist-cnn": lambda: resolve(None, "mnist-cnn", {"dropout": 0}),
    "cifar10-resnet18": lambda: resolve(None, "cifar10-resnet18", {}),
    "mnist-alexnet-small": lambda: resolve(None, "mnist-alexnet", {"dropout": 0}),
    "cifar10-resnet20": lambda: resolve(None, "cifar10-resnet", {"model": "resnet20"}),
    "cifar10-resnet20v2": lambda: resolve(None, "cifar10-resnet", {"model": "resnet20v2"}),
}


def build(program: Program, settings: Settings) -> torch.nn.Module:
    """The program's network with its drawn weights, in memory as training has it."""
    _, height, width, channels = program.images
    assert settings.model is not None
    network = build_model(settings.model, channels=channels, image_size=(height, width), num_classes=CLASSES, seed=0)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    drawn = seeded.weights(program.seed, shapes, program.gain)
    network.load_state_dict({n: torch.from_numpy(v) for n, v in drawn.items()}, strict=False)
    return channels_last(network) if settings.device.channels_last else network


def compute_logits(program: Program, settings: Settings) -> Arrays:
    """What Keras' side writes under the same names: the number of parameters, and the logits in float32."""
    network = build(program, settings).eval()
    scale = InputStep(unit_preprocessing(program.images[1:], per_image=settings.data.normalize == "image"))
    pixels = torch.from_numpy(seeded.images(program.seed, program.name, program.images))
    with torch.no_grad():
        logits = network(scale(pixels)).numpy()
    return {"parameters": np.array(sum(p.numel() for p in network.parameters())), "logits": logits}


def train(program: Program, settings: Settings) -> Arrays:
    """What Keras' side writes of the training steps, in float64, of images in [0, 1]."""
    found: Arrays = {}
    network = build(program, settings).double().to(memory_format=torch.contiguous_format)
    kind = settings.optimizer.optimizer
    fused = settings.device.fused and kind in FUSED
    optimizer = build_optimizer(settings.optimizer, network.train(), fused=fused)
    settings = settings.replace(head_l2=_float32(settings.training.head_l2))
    step = TrainingStep(network, optimizer, settings, Compute(CPU, "fp32"))
    part = TrainedPart(lambda pixels: pixels.permute(0, 3, 1, 2).double() / 255, network)
    hooks = [
        p.register_post_accumulate_grad_hook(_keep(found, f"gradient/{name}", _decay(optimizer, p)))
        for name, p in network.named_parameters()
    ]
    losses: list[float] = []
    for number in range(program.steps):
        step.prepare(number, settings.optimizer.lr)
        _take_their_constants(optimizer, settings, number + 1, program)
        name = f"{program.name}.{number}"
        pixels = torch.from_numpy(seeded.images(program.seed, name, program.images))
        labels = torch.from_numpy(seeded.labels(program.seed, name, program.images[0], CLASSES))
        # The step computes its loss in float32, whatever the network gives; here nothing is to be rounded to it.
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            loss, _ = step.train_on(part, pixels, labels)
        losses.append(float(loss))
        if number == 0:
            for hook in hooks:
                hook.remove()
        found |= {f"after{number + 1}/{n}": v.numpy().copy() for n, v in network.state_dict().items()}
    found["losses"] = np.array(losses)
    return found


def _take_their_constants(optimizer: torch.optim.Optimizer, settings: Settings, step: int, program: Program) -> None:
    """Round the optimizer's constants as theirs are, for step `step`, counted from 1.

    TensorFlow 1 has all of them in float32, and multiplies its powers of beta in it; Keras 3 raises beta, rounded to
    float32, to its powers in the weights' own precision, and rounds only the learning rate besides. Left out, the
    weights would be 1e-8 apart after one step, and after a second of R4 a thousandth, so steep is its loss there.
    """
    own = settings.optimizer
    keras = program.name in KERAS_OPTIMIZER
    for group in optimizer.param_groups:
        group["lr"] = _float32(own.lr)
        if own.optimizer == "sgd":
            group["momentum"] = _float32(own.momentum)
        elif own.optimizer == "adadelta":
            group |= {"rho": _float32(own.rho), "eps": _float32(own.eps)}
        elif own.optimizer == "adam":
            betas = (own.beta1, own.beta2) if keras else (_float32(own.beta1), _float32(own.beta2))
            theirs = [_float32(b) ** step if keras else _power(b, step) for b in (own.beta1, own.beta2)]
            bias1, bias2 = (1 - beta**step for beta in betas)
            group["betas"] = betas
            group["lr"] *= bias1 / (1 - theirs[0]) * math.sqrt((1 - theirs[1]) / bias2)
            group["eps"] *= 1 if keras else _float32(own.eps) / own.eps
            if own.eps_hat:
                group["eps"] *= math.sqrt((1 - own.beta2**step) / bias2)


def _power(beta: float, step: int) -> float:
    power = np.float32(beta)
    for _ in range(step - 1):
        power = np.float32(power * np.float32(beta))
    return float(power)


def _float32(constant: float) -> float:
    return float(np.float32(constant))


def _decay(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> float:
    return next(g["weight_decay"] for g in optimizer.param_groups if any(p is parameter for p in g["params"]))


def _keep(found: Arrays, name: str, decay: float) -> Callable[[torch.Tensor], None]:
    """Keep a gradient, with the decay that the optimizer will add and that Keras' side has in its loss."""

    def keep(parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        found[name] = (parameter.grad + decay * parameter.detach()).numpy().copy()

    return keep


def local_response_norm() -> torch.nn.Module:
    """The layer as it stands in the network of R5's recipe."""
    settings = SETTINGS["mnist-alexnet-small"]()
    assert settings.model is not None
    network = build_model(settings.model, channels=1, image_size=(28, 28), num_classes=CLASSES, seed=0)
    return network.get_submodule("body.norm1")
