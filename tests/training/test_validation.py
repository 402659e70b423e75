"""Sources of a mixture that a limited validation leaves out."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.errors import ConfigError
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config


def overrides(corpus: Path, folder: Path, *more: str) -> tuple[str, ...]:
    path = ", ".join(f"{name}: {{path: {corpus}}}" for name in ("a", "b", "c"))
    return (
        *("name=x", f"runs_dir={folder}", f"data.path={{{path}}}", *TINY, *QUIET),
        *("max_steps=2", "global_batch_size=4", "micro_batch_size=4", *more),
    )


def test_a_limit_below_the_number_of_sources_is_told(corpus: Path, tmp_path: Path) -> None:
    given = overrides(corpus, tmp_path, "trainer.limit_val_batches=2")
    with pytest.warns(UserWarning, match="sources, which take turns: c will not be") as warned:
        results = train(train_config(*given))
    told = [str(w.message) for w in warned if "take turns" in str(w.message)]
    assert told == [
        "trainer.limit_val_batches is 2 for 3 sources, which take turns: c will not be validated; "
        "set it to at least 3"
    ]
    assert "validation/b/loss" in results and "validation/c/loss" not in results
    assert any(row.get("validation/b/loss") for row in read_rows(tmp_path / "x" / "metrics.csv"))


def test_a_metric_of_a_source_that_is_left_out_cannot_be_monitored(
    corpus: Path, tmp_path: Path
) -> None:
    given = overrides(
        *(corpus, tmp_path, "trainer.limit_val_batches=1", "callbacks.checkpoints.mode=min"),
        "callbacks.checkpoints.monitor=validation/b/loss",
    )
    with pytest.raises(ConfigError, match="leaves no batch for b, c; it should be at least 3"):
        train(train_config(*given))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("limit", [0, 3, None])
def test_other_limits_are_not_told(
    limit: Any, corpus: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    train(
        train_config(
            *overrides(
                corpus, tmp_path, f"trainer.limit_val_batches={'null' if limit is None else limit}"
            )
        )
    )
    assert not [w for w in recwarn if "take turns" in str(w.message)]
