"""Everything that decides what a run does, a section each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sightline.settings.augment import AugmentSettings
from sightline.settings.base import Section
from sightline.settings.data import DataSettings
from sightline.settings.model import CnnSettings, ModelSettings
from sightline.settings.optimizer import ConstantSettings, OptimizerSettings, ScheduleSettings, SgdSettings
from sightline.settings.training import CheckpointSettings, DeviceSettings, FinetuneSettings, TrainingSettings


class Settings(Section):
    """Everything that decides what a run does."""

    recipe: str | None = None
    """The recipe it began from."""
    extended_from_step: Annotated[int, Field(ge=0)] = 0
    """Step at which a finished run was made longer: cosine and one-cycle schedules run again from there."""
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings | None = Field(default_factory=CnnSettings)
    """None where the user brought a module of their own."""
    optimizer: OptimizerSettings = Field(default_factory=SgdSettings)
    schedule: ScheduleSettings = Field(default_factory=ConstantSettings)
    training: TrainingSettings = TrainingSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    device: DeviceSettings = DeviceSettings()
