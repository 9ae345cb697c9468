"""One training step, to be read from top to bottom. B images a batch, K classes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sightline.classifier.input_step import InputStep
from sightline.device import Compute
from sightline.errors import UsageError
from sightline.settings import TrainingSettings
from sightline.training.optimizers import FUSED, keep_rates_on_device

EMA_WARMUP = 10


class MovingAverage:
    """The moving average of a network's weights and buffers; a young one forgets faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._longest_decay = self._decay = decay
        self._share: torch.Tensor | None = None
        source, target = model.state_dict(), self.model.state_dict()
        floats = [name for name in source if source[name].is_floating_point()]
        self._averages = [target[name] for name in floats]
        self._current = [source[name] for name in floats]
        self._copied = [(target[name], source[name]) for name in source if not source[name].is_floating_point()]

    def keep_decay_on_device(self, device: torch.device) -> None:
        """Keep what an update takes of the network, 1 - decay, in a tensor (), which a recorded one reads anew."""
        self._share = torch.zeros((), device=device)

    def prepare(self, step: int) -> None:
        """Set the decay of the update behind step `step`, counted from 0."""
        self._decay = min(self._longest_decay, (1 + step) / (EMA_WARMUP + step))
        if self._share is not None:
            self._share.fill_(1 - self._decay)

    @torch.no_grad()
    def update(self, failed: torch.Tensor) -> None:
        """Move towards the network as it is. With the decay on the device, weights stay where they are if `failed`."""
        if self._share is None:
            get_ema_multi_avg_fn(self._decay)(self._averages, self._current, 0)
        else:
            share = self._share * ~failed
            for average, current in zip(self._averages, self._current, strict=True):
                average.lerp_(current, share.to(average.dtype))
        for target, source in self._copied:
            target.copy_(source)


class TrainingStep:
    """Forward, loss, backward, check, clip, update, average."""

    def __init__(
        self,
        model: nn.Module,
        input_step: InputStep,
        optimizer: torch.optim.Optimizer,
        compute: Compute,
        settings: TrainingSettings,
        *,
        optimizer_name: str,
        fused: bool,
        class_weights: torch.Tensor | None,
        auxiliary_weight: float = 0.0,
    ) -> None:
        self.forward: Callable[[torch.Tensor], torch.Tensor | tuple[torch.Tensor, ...]] = model
        self.input_step: Callable[[torch.Tensor], torch.Tensor] = input_step
        self.optimizer = optimizer
        self.compute = compute
        self.settings = settings
        self.class_weights = class_weights
        self.auxiliary_weight = auxiliary_weight
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.penalized = _last_dense_kernel(model) if settings.head_l2 else None
        self.average = MovingAverage(model, settings.ema_decay) if settings.ema_decay else None
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.precision == "fp16")
        # A fused optimizer can be told on the device to leave everything as it is; the host need not wait to know.
        self.masks = compute.device.type == "cuda" and fused and optimizer_name in FUSED
        self.failed = torch.zeros((), dtype=torch.bool, device=compute.device)

    def __call__(self, step: int, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take step `step`, counted from 0: see `train_on`."""
        self.prepare(step)
        return self.train_on(pixels, labels)

    def keep_on_device(self) -> None:
        """Keep on the device all that a step reads and that changes, so that the host takes no part in it.

        The optimizer must be a fused one and the precision not fp16.
        """
        assert not self.scaler.is_enabled()
        self.masks = True
        keep_rates_on_device(self.optimizer, self.compute.device)
        if self.average:
            self.average.keep_decay_on_device(self.compute.device)

    def prepare(self, step: int) -> None:
        """Set what the host decides for step `step`; the learning rate is the loop's."""
        if self.average:
            self.average.prepare(step)

    def train_on(self, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on uint8 (B, H, W, C) and int64 (B,): the mean loss () and the logits (B, K) before the update.

        The loss is what is minimised, with auxiliary heads and penalty in it. When it or its gradient is not finite,
        `failed` becomes and stays true and nothing is updated (but for batch norm's figures, which the forward pass
        itself updates).
        """
        images = self.input_step(pixels)  # B, C, H, W
        with self.compute.autocast():
            outputs = self.forward(images)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        logits, *auxiliary = (head.float() for head in heads)  # B, K
        loss = self._loss(logits, labels)
        for head in auxiliary:
            loss = loss + self.auxiliary_weight * self._loss(head, labels)
        if self.penalized is not None:
            loss = loss + self.settings.head_l2 * self.penalized.square().sum()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self._is_sound(loss.detach()):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.average:
                self.average.update(self.failed)
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), logits.detach()

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            logits, labels, self.class_weights, label_smoothing=self.settings.label_smoothing
        )

    def _is_sound(self, loss: torch.Tensor) -> bool:
        """Clip, and whether the update may go on; on a GPU always, masked on the device where it may not."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.settings.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip_norm, norm)
        # The scaler expects infinite gradients now and then, and skips those steps by itself.
        sound = torch.isfinite(loss) if self.scaler.is_enabled() else torch.isfinite(loss) & torch.isfinite(norm)
        self.failed |= ~sound
        if self.masks and not self.scaler.is_enabled():
            self.optimizer.found_inf = self.failed.float()  # pyright: ignore[reportAttributeAccessIssue]
            return True
        return not bool(self.failed)


def _last_dense_kernel(model: nn.Module) -> torch.Tensor:
    """The kernel of the head's last dense layer. Raises UsageError where there is none."""
    dense = [module for module in getattr(model, "head", model).modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise UsageError("--head-l2", f"{type(model).__name__} has no dense layer", "0 is the only value for it")
    return dense[-1].weight
