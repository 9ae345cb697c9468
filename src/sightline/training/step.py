"""One training step, to be read from top to bottom. B images a batch, C channels, H x W pixels, K classes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sightline.device import Compute
from sightline.errors import UsageError
from sightline.settings import Settings
from sightline.training.backbone import TrainedPart
from sightline.training.ema import MovingAverage
from sightline.training.optimizers import set_rates


class TrainingStep:
    """Forward, loss, backward, clip and check, update, average.

    `average` is the moving average of the weights, None where it is off. `failed` is a bool () on the device: whether
    a loss or gradient was ever not finite. From then on nothing is updated any more.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        compute: Compute,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        self.optimizer, self.compute, self.class_weights = optimizer, compute, class_weights
        self.settings = settings.training
        self.optimizer_settings = settings.optimizer
        self.auxiliary_weight = getattr(settings.model, "auxiliary_weight", 0.0)
        self.penalized = _last_dense_kernel(model) if self.settings.head_l2 else None
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        decay = self.settings.ema_decay
        self.average: MovingAverage | None = MovingAverage(model, decay) if decay else None
        # Only fp16 needs its loss scaled; elsewhere the scaler passes everything on as it is.
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.precision == "fp16")
        self.failed = torch.zeros((), dtype=torch.bool, device=compute.device)

    def __call__(
        self, part: TrainedPart, batch: torch.Tensor, labels: torch.Tensor, *, step: int, rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take step `step`, counted from 0, at the learning rate `rate`: see `train_on`."""
        self.prepare(step, rate)
        return self.train_on(part, batch, labels)

    def prepare(self, step: int, rate: float) -> None:
        """Set what changes from step to step without looking at the batch."""
        set_rates(self.optimizer, self.optimizer_settings, rate, step)
        if self.average is not None:
            self.average.prepare(step)

    def train_on(
        self, part: TrainedPart, batch: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on a batch: uint8 (B, H, W, C) or kept features (B, F), with labels int64 (B,) or soft ones (B, K).

        Gives the loss () that was minimized, auxiliary heads and penalty included, and the logits (B, K), both from
        before the update.
        """
        images = part.input_step(batch)  # B, C, H, W
        with self.compute.autocast():
            outputs = part.forward(images)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        logits, *auxiliary = (head.float() for head in heads)  # B, K

        loss = self.cross_entropy(logits, labels)
        for head in auxiliary:
            loss = loss + self.auxiliary_weight * self.cross_entropy(head, labels)
        if self.penalized is not None:
            loss = loss + self.settings.head_l2 * self.penalized.square().sum()

        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        finite = self.clip_and_check(loss.detach())
        if self.may_update(finite):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.average is not None:
                self.average.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), logits.detach()

    def cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy () of logits (B, K), with class weights and label smoothing.

        Labels are int64 (B,), or float32 (B, K) where each image has a distribution over the classes. The weights of
        all labels add up to 1, also of soft ones, which torch would leave as they are.
        """
        smoothing, weights = self.settings.label_smoothing, self.class_weights
        if labels.ndim == 1:
            return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
        total = functional.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)
        return total / (len(labels) if weights is None else (labels * weights).sum())

    def clip_and_check(self, loss: torch.Tensor) -> torch.Tensor:
        """Clip the whole gradient to `clip_norm`; give whether loss and gradient are finite, bool ()."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip_norm, norm)
        if self.scaler.is_enabled():  # it expects infinite gradients now and then, and skips those steps by itself
            return torch.isfinite(loss)
        return torch.isfinite(loss) & torch.isfinite(norm)

    def may_update(self, finite: torch.Tensor) -> bool:
        """Whether the weights may move: no loss or gradient has failed, now or before."""
        self.failed |= ~finite
        return not bool(self.failed)


def _last_dense_kernel(model: nn.Module) -> torch.Tensor:
    """The kernel of the head's last dense layer. Raises UsageError where there is none."""
    dense = [module for module in getattr(model, "head", model).modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise UsageError("--head-l2", f"{type(model).__name__} has no dense layer", "0 for such a network")
    return dense[-1].weight
