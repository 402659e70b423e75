"""The parts of a run that are made from its configuration."""

from pathlib import Path

import pytest

from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.errors import ConfigError
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.training.assembly import make_module
from tests.programs.commands import TINY, train_config


class OwnTask(PretrainingModule):
    """A user's own, whose keys no schema knows."""


@pytest.mark.parametrize("given", ["weight_decay=0.5", "seed=4", "max_steps=3"])
def test_a_key_of_a_task_that_the_run_sets_is_refused(given: str, corpus: Path) -> None:
    own = (f"task._target_={__name__}.OwnTask", f"+task.{given}")
    config = train_config("name=a", f"data.path={corpus}", *TINY, "max_steps=10", *own)
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48
    )
    encoder = config.encoder.model_copy(update={"vocab_size": data.vocab_size})
    with pytest.raises(ConfigError, match=f"^task.{given} has no effect: a run sets it by its"):
        make_module(config, encoder, data, 10)
