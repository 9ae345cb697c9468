"""All settings of a run: frozen, validated when they are built, the same for recipes, flags and Python.

`Settings` has a section each for data, augmentation, model, optimizer, schedule, training, fine-tuning, checkpoints and
device.
Every setting has one flat name (`lr`, `batch_size`), which is its flag, its keyword in Python and its name in messages.
"""

from __future__ import annotations

from sightline.settings.augment import AugmentSettings
from sightline.settings.data import DataSettings, Resizing, data_name
from sightline.settings.merge import (
    build_data_settings,
    build_settings,
    flat_fields,
    settings_from_yaml,
    settings_to_yaml,
)
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
    TimmSettings,
    model_name,
)
from sightline.settings.optimizer import OptimizerSettings, ScheduleSettings
from sightline.settings.run import Settings
from sightline.settings.training import CheckpointSettings, DeviceSettings, FinetuneSettings, TrainingSettings

__all__ = [
    "MODEL_PRESETS",
    "AlexNetSettings",
    "AugmentSettings",
    "CheckpointSettings",
    "CnnSettings",
    "DataSettings",
    "DeviceSettings",
    "EfficientNetSettings",
    "FinetuneSettings",
    "GoogLeNetSettings",
    "ModelSettings",
    "OptimizerSettings",
    "PadResNetSettings",
    "ResNetSettings",
    "Resizing",
    "ScheduleSettings",
    "Settings",
    "SprintSettings",
    "TimmSettings",
    "TrainingSettings",
    "build_data_settings",
    "build_settings",
    "data_name",
    "flat_fields",
    "model_name",
    "settings_from_yaml",
    "settings_to_yaml",
]
