"""The configuration of `clozekit predict`."""

from pydantic import BaseModel, ConfigDict, PositiveInt


class PredictConfig(BaseModel):
    """What to predict, and from which checkpoint.

    Attributes:
        checkpoint: A run's folder, for its best checkpoint (else its last), or a `.ckpt` file.
        text: The text; a pretraining checkpoint fills in its [MASK]s.
        text_pair: A second text; a pretraining checkpoint says whether it follows the first.
        top_k: How many words are given for a [MASK].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    text: str
    text_pair: str | None = None
    top_k: PositiveInt = 5
