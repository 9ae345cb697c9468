"""The base of every settings model: frozen, and unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A group of settings. Its docstring's first line is the group's title in the help."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def replace(self, **changes: Any) -> Self:
        """Copy with other values, checked as when it was built. Raises pydantic's ValidationError for a wrong one."""
        return type(self).model_validate({**vars(self), **changes})


Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
