"""What is checked when the parts of a training are put together."""

import pytest

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError
from clozekit.training.assembly import check_segments

PAIRS = {"_target_": "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule"}


def test_pairs_need_two_segments_or_none_of_a_class_of_the_users() -> None:
    with pytest.raises(ConfigError, match=r"type_vocab_size=1 but .* need 2 segment ids, or none"):
        check_segments(EncoderConfig(_target_="mine.Encoder", type_vocab_size=1), PAIRS)
    for segments in (0, 2):
        check_segments(EncoderConfig(_target_="mine.Encoder", type_vocab_size=segments), PAIRS)


def test_clozekits_encoder_takes_pairs_with_one_segment_as_roberta_does() -> None:
    check_segments(EncoderConfig(type_vocab_size=1), PAIRS)
