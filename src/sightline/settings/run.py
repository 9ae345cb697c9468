"""Everything that decides what a run does, a section each."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sightline.settings.augment import AugmentSettings
from sightline.settings.base import Section
from sightline.settings.data import DataSettings
from sightline.settings.model import CnnSettings, ModelSettings
from sightline.settings.optimizer import ConstantSettings, OptimizerSettings, ScheduleSettings, SgdSettings
from sightline.settings.training import CheckpointSettings, DeviceSettings, FinetuneSettings, TrainingSettings


class Settings(Section):
    """All settings of a run, one field per section."""

    recipe: str | None = None
    """The recipe that the run started from."""
    extended_from_step: Annotated[int, Field(ge=0)] = 0
    """Step at which a finished run was extended; cosine and one-cycle schedules start again there."""
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings | None = Field(default_factory=CnnSettings)
    """None if the user passed a module of their own."""
    optimizer: OptimizerSettings = Field(default_factory=SgdSettings)
    schedule: ScheduleSettings = Field(default_factory=ConstantSettings)
    training: TrainingSettings = TrainingSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    device: DeviceSettings = DeviceSettings()

    @model_validator(mode="after")
    def _something_learns(self) -> Self:
        if self.training.epochs == 0 and self.finetune.head != "fitted":
            raise ValueError("epochs is 0, but only a fitted head can be trained without epochs")
        return self

    @model_validator(mode="after")
    def _larger_pictures_are_cropped(self) -> Self:
        size = self.data.cache_size
        if size not in ("auto", "input") and not self.augment.random_crop:
            raise ValueError(f"cache_size is {size}, but only random crops are cut from larger pictures")
        return self

    def replace(self, **changes: Any) -> Self:
        """Copy with other values, checked as when it was built.

        `changes` are whole sections, or single settings by their flat names: `settings.replace(epochs=3, model=None)`.
        Raises pydantic's ValidationError for a wrong value, KeyError for a name that no section has.
        """
        whole = {name: value for name, value in changes.items() if name in Settings.model_fields}
        parts: dict[str, dict[str, Any]] = {}
        for name in changes.keys() - whole.keys():
            parts.setdefault(self._section_of(name), {})[name] = changes[name]
        for section, values in parts.items():
            whole[section] = whole.get(section, getattr(self, section)).replace(**values)
        return super().replace(**whole)

    def _section_of(self, name: str) -> str:
        for section, values in self:
            if isinstance(values, Section) and name in type(values).model_fields:
                return section
        raise KeyError(name)
