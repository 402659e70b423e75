"""Messages of wrong values: one line for each key."""

import pytest
from pydantic import ValidationError

from clozekit.config.merge import MergeConfig
from clozekit.config.messages import of_validation


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [
        ([1, 2], "checkpoints.0=1: it should be a valid string"),
        (["a", 2, True], "checkpoints.1=2: it should be a valid string"),
        (["a"], "checkpoints: it should have at least 2 values, not 1"),
    ],
)
def test_of_a_list_the_first_wrong_item_is_told(checkpoints: list[object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MergeConfig.model_validate({"checkpoints": checkpoints, "out": "new"})
    assert of_validation(caught.value) == message
