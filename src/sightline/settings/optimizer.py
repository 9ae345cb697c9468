"""Optimizers and learning-rate schedules. Every constant can be set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sightline.settings.base import Fraction, NotNegative, Positive, Section

Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSection(Section):
    """Optimizer"""

    weight_decay: NotNegative = 0.0
    """Weight decay: L2 added to the gradient, except in adamw and for muon's kernels, where it is decoupled (arXiv
    1711.05101)."""
    decay: Literal["all", "weights"] = "weights"
    """Which parameters decay: all, or weights only (no norms or biases)."""
    norm_bias_lr_factor: Positive = 1.0
    """Learning-rate factor for the biases of batch norm (arXiv 2404.00498 uses 64)."""


class SgdSettings(OptimizerSection):
    """Optimizer: sgd"""

    optimizer: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    """Learning rate."""
    momentum: Beta = 0.9
    """Momentum."""
    dampening: Beta = 0.0
    """Dampening of the momentum."""
    nesterov: bool = False
    """Nesterov momentum."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SgdSettings:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
        return self


class AdamSettings(OptimizerSection):
    """Optimizer: adam (arXiv 1412.6980)"""

    optimizer: Literal["adam"] = "adam"
    lr: Positive = 0.001
    """Learning rate."""
    beta1: Beta = 0.9
    """Decay of the running mean of the gradient."""
    beta2: Beta = 0.999
    """Decay of the running mean of the squared gradient."""
    eps: Positive = 1e-8
    """Constant added to the denominator."""
    eps_hat: bool = False
    """Add eps before the bias correction of the squared gradient's mean, as TensorFlow and Keras do ("epsilon hat" in
    the paper), instead of after it."""


class AdamWSettings(AdamSettings):
    """Optimizer: adamw (arXiv 1711.05101)"""

    optimizer: Literal["adamw"] = "adamw"  # pyright: ignore[reportIncompatibleVariableOverride]
    weight_decay: NotNegative = 0.01


class AdadeltaSettings(OptimizerSection):
    """Optimizer: adadelta (arXiv 1212.5701)"""

    optimizer: Literal["adadelta"] = "adadelta"
    lr: Positive = 1.0
    """Learning rate."""
    rho: Beta = 0.9
    """Decay of the running mean of the squared gradient."""
    eps: Positive = 1e-6
    """Constant added to the denominator."""


class RmspropSettings(OptimizerSection):
    """Optimizer: rmsprop"""

    optimizer: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 0.01
    """Learning rate."""
    alpha: Beta = 0.99
    """Decay of the running mean of the squared gradient."""
    momentum: Beta = 0.0
    """Momentum."""
    centered: bool = False
    """Divide by the gradient's standard deviation instead of its root mean square."""
    eps: Positive = 1e-8
    """Constant added to the denominator."""


class MuonSettings(OptimizerSection):
    """Optimizer: muon for the kernels of all convolutions but the first, SGD for the rest (Jordan et al. 2024)"""

    optimizer: Literal["muon"] = "muon"
    lr: Positive = 0.24
    """Learning rate of the kernels."""
    momentum: Beta = 0.6
    """Nesterov momentum of the kernels."""
    orthogonal_steps: Annotated[int, Field(ge=1, le=20)] = 3
    """Newton-Schulz iterations that orthogonalize a kernel's momentum."""
    keep_norm: bool = True
    """Scale each kernel to a norm of 1 per filter before the update."""
    sgd_lr: Positive = 0.2
    """Learning rate of the parameters that SGD trains; the schedule applies to it too."""
    sgd_momentum: Beta = 0.9
    """Nesterov momentum of the parameters that SGD trains."""


OptimizerSettings = Annotated[
    SgdSettings | AdamSettings | AdamWSettings | AdadeltaSettings | RmspropSettings | MuonSettings,
    Field(discriminator="optimizer"),
]


class ScheduleSection(Section):
    """Schedule"""

    warmup_epochs: NotNegative = 0.0
    """Epochs over which the learning rate rises linearly to its full value."""


class ConstantSettings(ScheduleSection):
    """Schedule: constant"""

    schedule: Literal["constant"] = "constant"


class StepSettings(ScheduleSection):
    """Schedule: step, the learning rate drops at given epochs"""

    schedule: Literal["step"] = "step"
    step_epochs: Annotated[tuple[Positive, ...], Field(min_length=1)] = (100.0, 150.0, 200.0)
    """Epochs at which the next factor takes effect."""
    step_factors: Annotated[tuple[NotNegative, ...], Field(min_length=1)] = (0.1, 0.01, 0.001)
    """Learning-rate factor from each of those epochs on."""

    @model_validator(mode="after")
    def _a_factor_an_epoch(self) -> StepSettings:
        if len(self.step_epochs) != len(self.step_factors):
            raise ValueError(
                f"{len(self.step_epochs)} step_epochs and {len(self.step_factors)} step_factors were given,"
                " but they must have the same number"
            )
        if list(self.step_epochs) != sorted(set(self.step_epochs)):
            raise ValueError(f"step_epochs are {self.step_epochs}, but they must increase")
        return self


class CosineSettings(ScheduleSection):
    """Schedule: cosine (arXiv 1608.03983, without restarts)"""

    schedule: Literal["cosine"] = "cosine"
    final_factor: Fraction = 0.0
    """Learning-rate factor at the end."""


class OneCycleSettings(ScheduleSection):
    """Schedule: one-cycle (arXiv 1708.07120), linear increase, linear or cosine decrease"""

    schedule: Literal["one_cycle"] = "one_cycle"
    peak_fraction: Fraction = 0.25
    """Fraction of the run after which the learning rate is highest."""
    start_factor: Fraction = 0.1
    """Learning-rate factor at the start."""
    final_factor: Fraction = 0.0
    """Learning-rate factor at the end."""
    down: Literal["linear", "cosine"] = "linear"
    """Shape of the decrease."""

    @model_validator(mode="after")
    def _rises_by_itself(self) -> OneCycleSettings:
        if self.warmup_epochs:
            raise ValueError("one_cycle has its own warmup, set by peak_fraction, so warmup_epochs must be 0")
        return self


ScheduleSettings = Annotated[
    ConstantSettings | StepSettings | CosineSettings | OneCycleSettings, Field(discriminator="schedule")
]
