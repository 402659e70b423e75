"""Messages of wrong values."""

import pytest
from pydantic import ValidationError

from clozekit.config.composition.messages import of_validation
from clozekit.config.merge import MergeConfig


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [
        (
            [1, 2],
            "checkpoints.0=1: it should be a valid string\n"
            "checkpoints.1=2: it should be a valid string",
        ),
        (["a", True], "checkpoints.1=true: it should be a valid string"),
        (["a"], "checkpoints: it should have at least 2 values, not 1"),
    ],
)
def test_a_list_with_wrong_items_is_not_told_to_be_too_short(
    checkpoints: list[object], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        MergeConfig.model_validate({"checkpoints": checkpoints, "out": "new"})
    assert of_validation(caught.value) == message
