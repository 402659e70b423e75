"""The configuration of `clozekit evaluate`: what is refused before the checkpoint is read."""

import pytest
from pydantic import ValidationError

from clozekit.config.composition.messages import of_validation
from clozekit.config.evaluate import EvaluateConfig


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_has_no_effect_with_a_file_of_rows(split: str) -> None:
    values = {"checkpoint": "runs/a", "input": "small.csv", "split": split}
    with pytest.raises(ValidationError) as caught:
        EvaluateConfig.model_validate(values)
    assert of_validation(caught.value) == (
        f"split={split} has no effect with input=small.csv: a file has no splits, and of a corpus "
        "the validation split is taken; leave out one of the two"
    )
    for key in ("input", "split"):
        EvaluateConfig.model_validate({**values, key: None})
