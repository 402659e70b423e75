"""Sources of a mixture that a limited validation leaves out."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.errors import ConfigError
from clozekit.train import train
from clozekit.training.validation import warn_of_trained_rows
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


def rows_of(folder: Path, *more: str) -> Any:
    (folder / "rows.csv").touch()
    (folder / "others.csv").touch()
    (folder / "linked.csv").symlink_to("rows.csv")
    return train_config(
        *("name=x", "max_steps=2", "task=classification", "data=classification"),
        *(f"data.train={folder}/rows.csv", *(each.format(folder=folder) for each in more)),
    )


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", ["rows.csv", "linked.csv", "../{last}/rows.csv"])
def test_rows_that_are_trained_on_and_evaluated_on_are_told(
    split: str, name: str, tmp_path: Path
) -> None:
    file = name.format(last=tmp_path.name)
    with pytest.warns(UserWarning, match="are the same") as warned:
        warn_of_trained_rows(rows_of(tmp_path, f"data.{split}={{folder}}/{file}"))
    assert [str(each.message) for each in warned] == [
        f"data.{split} and data.train are the same, {tmp_path}/rows.csv: the metrics of {split} "
        "are those of rows that the model is trained on"
    ]


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("data.validation={folder}/others.csv",),
        ("data.validation={folder}/none.csv",),
        ("data.validation={folder}/rows.csv", "trainer.overfit_batches=2"),
        ("data.validation={folder}/rows.csv", "trainer.fast_dev_run=true"),
    ],
)
def test_other_rows_are_not_told(
    more: tuple[str, ...], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    warn_of_trained_rows(rows_of(tmp_path, *more))
    assert not [each for each in recwarn if "are the same" in str(each.message)]
