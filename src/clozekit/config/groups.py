"""The two kinds of groups: with fixed keys, and with the keys of a class."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Closed(BaseModel):
    """A group, or all keys of a verb, that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """A group that names a class by `_target_`; its other keys are the class's arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Returns the group in the form that Hydra instantiates."""
        return self.model_dump(by_alias=True)
