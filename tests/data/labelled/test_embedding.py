"""Rows of texts for vectors: which columns are read, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.data.labelled.embedding import EmbeddingDataModule
from clozekit.errors import DataError
from tests.data.labelled.labelled_rows import encoded, make_features
from tests.data.labelled.written_rows import write_csv
from tests.data.spelling import spelling_tokenizer

PAIRS = ("anchor", "positive")
SCORED = (*PAIRS, "score")
TRAIN = [(f"horse {i}", f"cow {i}") for i in range(20)]


def module(folder: Path, **options: Any) -> EmbeddingDataModule:
    arguments = {"seed": 0, "global_batch_size": 4, "micro_batch_size": 4, "num_workers": 0}
    return EmbeddingDataModule(**arguments, tokenizer=spelling_tokenizer(), **options)


def file(folder: Path, name: str, rows: list[Any], columns: tuple[str, ...] = PAIRS) -> str:
    path = folder / name
    write_csv(path, rows, columns)
    return str(path)


def test_equal_texts_have_equal_ids_and_others_do_not() -> None:
    rows = [
        {"anchor": "horse", "positive": "the  cow"},
        {"anchor": "The cow", "positive": "boat"},
        {"anchor": "boat", "positive": "horse boat"},
    ]
    ids = encoded(make_features("embedding"), rows).text_ids.tolist()
    # As the tokenizer reads them.
    assert ids[1] == ids[2] and ids[3] == ids[4]
    assert len(set(ids)) == 4 and 0 not in ids
    long = [{"anchor": f"{'horse ' * 40}{end}", "positive": "cow"} for end in ("boat", "sheep")]
    made = encoded(make_features("embedding"), long)
    assert made.text_ids[0] == made.text_ids[2] and made.num_truncated == 2


def test_a_row_without_a_positive_is_skipped(tmp_path: Path) -> None:
    train = file(tmp_path, "train.csv", [*TRAIN, ("horse", "")])
    assert module(tmp_path, train=train).num_unlabelled["train"] == 1


def test_rows_with_the_same_positive_are_held_out_together(tmp_path: Path) -> None:
    rows = [(f"horse {i}", f"cow {i // 5}") for i in range(100)]
    data = module(tmp_path, train=file(tmp_path, "train.csv", rows))
    splits: Any = data.sources
    positives = [
        {example.texts[1] for example in splits[name].rows.examples}
        for name in ("train", "validation")
    ]
    assert all(positives) and not positives[0] & positives[1]


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        ([("a", "b", "0.5"), ("a", "c", "1")], {"has_pairs": False, "has_scores": True}),
        ([("a", "b", ""), ("a", "c", "")], {"has_pairs": True, "has_scores": False}),
        ([("a", "b", "0.5"), ("a", "c", "")], {"has_pairs": True, "has_scores": True}),
    ],
)
def test_the_metrics_follow_from_the_validation_rows(
    rows: list[Any], flags: dict[str, bool], tmp_path: Path
) -> None:
    train = file(tmp_path, "train.csv", TRAIN)
    validation = file(tmp_path, "validation.csv", rows, SCORED)
    assert module(tmp_path, train=train, validation=validation).task_arguments() == flags
    # What was read for validation does not make up for what is refused in training.
    kept = tmp_path / "kept"
    module(tmp_path, train=train, validation=validation, rows_dir=kept)
    if flags["has_scores"]:
        with pytest.raises(DataError, match="line 2: score is given, but training takes every"):
            module(tmp_path, train=validation, rows_dir=kept)
        module(tmp_path, train=validation, score_column=None, validation_fraction=0.5)


def test_single_texts_need_the_option_and_pairs_to_validate(tmp_path: Path) -> None:
    train = file(tmp_path, "train.csv", [(text,) for text, _ in TRAIN], ("anchor",))
    with pytest.raises(DataError, match="has no column 'positive'; it has anchor"):
        module(tmp_path, train=train)
    with pytest.raises(DataError, match=r"data\.validation=null: validation needs rows with a"):
        module(tmp_path, train=train, unsupervised=True)
    pairs = file(tmp_path, "validation.csv", TRAIN)
    data = module(tmp_path, train=train, unsupervised=True, validation=pairs)
    (batch,) = next(iter(data.train_dataloader())).micro_batches
    ids = batch.text_ids.view(-1, 2)  # type: ignore[attr-defined]
    assert (ids[:, 0] == ids[:, 1]).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "b", "much"), "score is 'much' but must be a number"),
        (("a", "", "0.5"), "score is given without a text in positive"),
    ],
)
def test_a_score_that_cannot_be_used_is_told(
    row: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    train = file(tmp_path, "train.csv", TRAIN)
    validation = file(tmp_path, "validation.csv", [row], SCORED)
    with pytest.raises(DataError, match=rf"validation\.csv, line 2: {message}"):
        module(tmp_path, train=train, validation=validation, unsupervised=True)
