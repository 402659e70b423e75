"""What else a run compiles besides the encoder, and what it sets for that."""

from pathlib import Path
from typing import Any

import pytest
import torch._functorch.config as functorch_config

from clozekit.training.assembly import encoder_config, make_datamodule, make_module
from tests.programs.commands import TINY, train_config


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("is_recomputed", [False, True])
def test_the_loss_is_compiled_with_the_encoder(
    corpus: Path, tmp_path: Path, is_compiled: bool, is_recomputed: bool
) -> None:
    config = train_config(
        "name=compiled",
        "max_steps=2",
        f"runs_dir={tmp_path}",
        f"data.path={corpus}",
        *TINY,
        f"compile={'default' if is_compiled else 'off'}",
        f"activation_checkpointing={str(is_recomputed).lower()}",
    )
    of_functorch: Any = functorch_config
    with of_functorch.patch("graphsafe_rng_functionalization", True):
        datamodule = make_datamodule(config, None)
        module = make_module(
            config, encoder_config(config.encoder, datamodule, None), datamodule, 2
        )
        assert module.model.masked_lm_head.compiles_loss == is_compiled
        # Nothing is changed without need.
        is_default = of_functorch.graphsafe_rng_functionalization
        assert is_default == (not (is_compiled and is_recomputed))
