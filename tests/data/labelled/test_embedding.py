"""Rows of texts for vectors: which columns are read, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.data.labelled.embedding import EmbeddingDataModule
from clozekit.data.labelled.example_columns import ExampleColumns
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


SHARED: dict[str, list[tuple[str, str]]] = {
    "positives": [(f"horse {i}", f"cow {i // 5}") for i in range(100)],
    "anchors": [(f"horse {i // 2}", f"cow {i}") for i in range(100)],
    "both": [(f"horse {i}", f"horse {i + 1}") for i in range(100) if i % 5],
}


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("is_stored", [True, False])
def test_rows_that_share_an_anchor_or_a_positive_are_held_out_together(
    kind: str, is_stored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_stored:
        monkeypatch.setattr(ExampleColumns, "supports", lambda kind: False)
    data = module(tmp_path, train=file(tmp_path, "train.csv", SHARED[kind]))
    splits: Any = data.sources
    texts = [
        {text for example in splits[name].rows.examples for text in example.texts}
        for name in ("train", "validation")
    ]
    assert all(texts) and not texts[0] & texts[1]


def test_rows_that_share_hard_negatives_alone_are_held_out_as_ever(tmp_path: Path) -> None:
    columns = (*PAIRS, "negative")
    rows = [(anchor, positive, TRAIN[i - 1][1]) for i, (anchor, positive) in enumerate(TRAIN)]
    held_out: list[list[str]] = []
    for name, given in (("pairs", TRAIN), ("negatives", rows)):
        path = file(tmp_path, f"{name}.csv", given, columns[: len(given[0])])
        options = {"negative_column": "negative"} if name == "negatives" else {}
        splits: Any = module(tmp_path, train=path, **options).sources
        held_out.append([each.texts[0] for each in splits["validation"].rows.examples])
    assert held_out[0] == held_out[1] and len(held_out[0]) == 2


def test_rows_that_are_all_connected_need_a_file_of_validation_rows(tmp_path: Path) -> None:
    rows = [("horse", f"cow {i}") for i in range(20)]
    with pytest.raises(DataError, match="texts that they share connect all of them; set data"):
        module(tmp_path, train=file(tmp_path, "train.csv", rows))


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        ([("a", "b", "0.5"), ("c", "d", "1")], {"has_pairs": False, "has_scores": True}),
        ([("a", "b", ""), ("c", "d", "")], {"has_pairs": True, "has_scores": False}),
        ([("a", "b", "0.5"), ("c", "d", "")], {"has_pairs": True, "has_scores": True}),
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
