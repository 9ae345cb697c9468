"""The training run itself, fine-tuning, checkpoints and logs, and what computes it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sightline.settings.base import Count, Fraction, NotNegative, Positive, Section

SECONDS = {"s": 1, "m": 60, "h": 3600}


def _seconds(value: Any) -> Any:
    """Read a text such as 90s, 2m or 1h30m as seconds; anything else stays as it is, for its own check."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if re.fullmatch(r"(\d+(\.\d+)?[hms])+", text) is None:
        return value
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class TrainingSettings(Section):
    """Training"""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the initial weights, image order, augmentation and dropout."""
    epochs: Annotated[int, Field(ge=0)] | None = 10
    """Passes over the training images; 0 trains nothing but a fitted head."""
    steps: Count | None = None
    """Training steps, instead of epochs."""
    time: Duration | None = None
    """Time budget for the whole command, as 90s, 2m or 1h. It sets the number of epochs, at most three times
    `epochs`."""
    batch_size: Count = 128
    """Images per step."""
    last_batch: Literal["keep", "wrap"] = "keep"
    """The short last batch of an epoch: keep uses it as it is; wrap fills batches across epochs, so that all have one
    size."""
    label_smoothing: Fraction = 0.0
    """Fraction of the target spread over all classes."""
    head_l2: NotNegative = 0.0
    """L2 penalty on the kernel of the last dense layer: this times its sum of squares is added to the loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced weights each class by its inverse frequency."""
    clip_norm: Positive | None = None
    """Maximum norm of the gradient; a larger gradient is scaled down to it."""
    ema_decay: Fraction = 0.0
    """Decay of the exponential moving average of the weights, which is then tested and saved; 0 is off."""
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    """shuffle shows each image once per epoch; balanced shows each class equally often, repeating images of rare
    classes."""
    select: Literal["accuracy", "balanced_accuracy", "macro_f1", "last"] = "accuracy"
    """Validation metric that selects the best epoch (the earliest of equals); last takes the last epoch."""
    patience: Count | None = None
    """Stop after this many epochs without improvement."""
    stop_at_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """Stop when the validation accuracy (with watch_test the test accuracy) reaches this value."""
    validate_epochs: Count = 1
    """Epochs between validations; the last epoch is always validated."""
    watch_test: bool = False
    """Train on all training images, evaluate the test images every epoch, and keep the last weights. Only for programs
    that are run as published."""
    log_steps: Count = 100
    """Steps between rows of steps.csv."""
    log_probabilities_steps: Count | None = None
    """Steps between rows of probabilities.csv, which holds the predicted probabilities of the batch."""
    track: Literal["none", "tensorboard"] = "none"
    """Where to log metrics besides the CSV files: none, or tensorboard, which writes event files to tensorboard/ in the
    run's folder."""

    @model_validator(mode="before")
    @classmethod
    def _steps_instead_of_epochs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("steps") is not None and "epochs" not in values:
            return {**values, "epochs": None}
        return values

    @model_validator(mode="after")
    def _one_duration(self) -> TrainingSettings:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"epochs is {self.epochs} and steps is {self.steps}, but exactly one of them must be given"
            )
        if self.time is not None and self.epochs is None:
            raise ValueError("time sets the number of epochs, but steps is given")
        if self.select == "last" and self.patience is not None:
            raise ValueError("patience needs a metric to wait for, but select is last")
        return self


class FinetuneSettings(Section):
    """Fine-tuning"""

    pretrained: str | None = None
    """Initial weights: a state dict of torchvision or timm (.pth, .safetensors), a Sightline run or model file, or
    imagenet, which downloads them. A last layer for other classes is not loaded."""
    head: Literal["fresh", "fitted"] = "fresh"
    """Initialization of the last layer: fresh, or fitted by logistic regression to the features of the training images,
    with regularization chosen on the validation images. With epochs 0 nothing else is trained."""
    freeze: Literal["none", "front", "backbone"] = "none"
    """backbone trains only the head, which follows the last pooling; the rest keeps its weights and batch norm
    statistics. front also trains the last parts of the backbone; batch norm statistics stay everywhere."""
    trained_parts: Count = 3
    """Number of parts at the end of the backbone that freeze front trains; sightline summary lists the parts."""
    unfreeze_epoch: Annotated[int, Field(ge=2)] | None = None
    """Epoch, counted from 1, from which a frozen backbone is trained too."""
    backbone_lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning-rate factor for everything but the head."""
    weight_ensemble: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Weight-space ensembling (WiSE-FT): the weights that are validated, selected and saved are the initial ones plus
    this part of what training changed; 1 is the trained weights."""

    @model_validator(mode="after")
    def _frozen_before_unfrozen(self) -> FinetuneSettings:
        if self.unfreeze_epoch is not None and self.freeze == "none":
            raise ValueError("unfreeze_epoch needs a frozen backbone, but freeze is none")
        if self.head == "fitted" and self.pretrained is None:
            raise ValueError("a fitted head needs pretrained features, but pretrained is not given")
        if self.weight_ensemble < 1 and self.pretrained is None:
            raise ValueError("weight_ensemble needs initial weights worth keeping, but pretrained is not given")
        return self


class CheckpointSettings(Section):
    """Checkpoints"""

    checkpoint_epochs: Count | None = 1
    """Epochs between checkpoints."""
    checkpoint_steps: Count | None = None
    """Steps between checkpoints."""
    checkpoint_seconds: Positive | None = None
    """Seconds between checkpoints."""
    keep_checkpoints: Count = 2
    """Number of latest checkpoints to keep."""


def _is_device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is None:
        raise PydanticCustomError("device", "Input should be auto, cpu, mps, cuda or a numbered one such as cuda:0")
    return name


class DeviceSettings(Section):
    """Device"""

    device: Annotated[str, AfterValidator(_is_device)] = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of training; validation, test and predict always use fp32."""
    channels_last: bool = True
    """Store images and kernels in channels-last memory format."""
    fused: bool = True
    """Use the fused optimizer if there is one."""
    threads: Count | None = None
    """CPU threads. Default: as many as the system offers."""
    deterministic: bool = False
    """Use only deterministic operations on a GPU (CPU training always does)."""
    execution: Literal["auto", "eager", "graph", "compile"] = "auto"
    """How a training step is executed: eager runs one operation after the other; graph records the step once and
    launches it as a whole (NVIDIA GPUs); compile uses torch.compile, plus recording if possible. auto is eager on a
    CPU; on an NVIDIA GPU it picks whatever pays off within the run's steps."""

    @model_validator(mode="before")
    @classmethod
    def _compile_before_execution(cls, values: Any) -> Any:
        """Read settings.yaml of runs that began when the step was either compiled or eager."""
        if not isinstance(values, dict) or "compile" not in values:
            return values
        old = {str(key): value for key, value in values.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return {"execution": "compile" if old.pop("compile") else "eager", **old}
