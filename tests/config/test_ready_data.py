"""The files of `conf/data/` for data sets of the hub, read from folders of the same layout."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.config.composition.build import build
from clozekit.config.composition.location import conf_dir
from clozekit.data.files.splits import read_split
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.errors import DataError
from tests.config.hub_folders import GLUE, READY, SIZES, TAGS, ready_overrides, task_of, text
from tests.data.spelling import spelling_tokenizer
from tests.programs.commands import train_config

# The hub has no labels of the other test splits.
WITHOUT_TEST = {"train": SIZES["train"], "validation": SIZES["validation"]}

CLASSIFICATION = [name for name, (_, classes) in GLUE.items() if classes]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    spelling_tokenizer().save(str(path))
    return path


class Ready:
    """Makes DataModules from the files of `conf/data/`."""

    def __init__(self, hub: Path, tokenizer: Path) -> None:
        self.hub, self.tokenizer = hub, tokenizer

    def __call__(self, data: str, *overrides: str) -> LabelledDataModule[Any]:
        config = train_config(
            "name=mine",
            "max_steps=1",
            "global_batch_size=8",
            "micro_batch_size=4",
            *ready_overrides(self.hub, data),
            f"data.tokenizer={self.tokenizer}",
            *overrides,
        )
        datamodule = build("data", config.data.arguments())
        assert isinstance(datamodule, LabelledDataModule)
        return datamodule


@pytest.fixture
def ready(hub: Path, tokenizer: Path) -> Ready:
    return Ready(hub, tokenizer)


def examples(datamodule: LabelledDataModule[Any], split: str) -> Any:
    return datamodule.sources[split].rows.examples  # type: ignore[attr-defined]


def sizes(datamodule: LabelledDataModule[Any]) -> dict[str, int]:
    return {split: len(examples(datamodule, split)) for split in datamodule.sources}


def test_every_ready_file_is_known() -> None:
    folder = conf_dir() / "data"
    files = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml")}
    tasks = {path.stem for path in (conf_dir() / "task").glob("*.yaml")}
    assert set(READY) == files - tasks - {"labelled"}
    assert {task_of(data) for data in READY} == tasks - {"pretraining", "masked_lm", "embedding"}


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classes_of_glue_are_named_in_the_hubs_order(name: str, ready: Ready) -> None:
    (first, *second), classes = GLUE[name]
    datamodule = ready(f"glue/{name}")
    assert datamodule.task_arguments() == {"label_names": list(classes), "multi_label": False}
    has_test = name == "mnli"  # its second validation split
    assert sizes(datamodule) == WITHOUT_TEST | ({"test": 4} if has_test else {})
    train = examples(datamodule, "train")
    assert [example.id for example in train] == list(range(SIZES["train"]))
    for number, example in enumerate(train):
        assert example.text == text(first, "train", number)
        assert example.text_pair == (text(second[0], "train", number) if second else None)
        assert example.labels == (classes[number % len(classes)],)
    batch = next(iter(datamodule.train_dataloader())).micro_batches[0]
    assert batch.batch_size == 4 and batch.labels.max() < len(classes)


@pytest.mark.parametrize("name", ["cola", "qqp", "mnli"])
def test_rows_of_glue_whose_labels_are_kept_back_are_left_out(name: str, ready: Ready) -> None:
    labelled, kept_back = (
        ("validation_matched", "test_matched") if name == "mnli" else ("validation", "test")
    )
    with pytest.raises(DataError, match=f"all {SIZES['test']} rows are without labels in label"):
        ready(f"glue/{name}", f"data.test={kept_back}")
    mixed = ready(f"glue/{name}", f"data.validation={labelled}+{kept_back}")
    assert len(examples(mixed, "validation")) == SIZES["validation"]
    assert mixed.num_unlabelled["validation"] == SIZES["test"]


def test_mnli_is_validated_on_matched_pairs_and_tested_on_the_others(ready: Ready) -> None:
    datamodule = ready("glue/mnli")
    assert examples(datamodule, "validation")[0].text == text("premise", "validation_matched", 0)
    assert examples(datamodule, "test")[0].text == text("premise", "validation_mismatched", 0)


def test_stsb_has_scores(ready: Ready) -> None:
    datamodule = ready("glue/stsb")
    assert sizes(datamodule) == WITHOUT_TEST
    second = examples(datamodule, "train")[1]
    assert (second.text, second.text_pair, second.score) == (
        text("sentence1", "train", 1),
        text("sentence2", "train", 1),
        2.5,
    )
    batch = next(iter(datamodule.val_dataloader())).batch
    assert sorted(batch.scores.tolist()) == [0.0, 0.0, 2.5, 4.75]


@pytest.mark.parametrize(("data", "number"), [("squad", 0), ("squad_v2", 3), ("squad_bio", 0)])
def test_squad_has_answers_in_paragraphs(data: str, number: int, ready: Ready) -> None:
    datamodule = ready(data)
    assert sizes(datamodule) == WITHOUT_TEST
    assert datamodule.task_arguments() == {"has_unanswerable": number > 0}
    assert datamodule.max_seq_length == 384
    train = examples(datamodule, "train")
    assert sum(not question.answers for question in train) == number
    second = examples(datamodule, "validation")[1]
    assert (second.id, second.question) == (
        text("id", "validation", 1),
        text("question", "validation", 1),
    )
    assert second.answers == (text("context", "validation", 1)[4:],) * 3
    batch = next(iter(datamodule.val_dataloader())).batch
    assert batch.batch_size == len(batch.windows) == 4
    assert hasattr(batch, "labels") == (data == "squad_bio")


def test_squad_2_can_be_tagged_too(hub: Path, ready: Ready) -> None:
    datamodule = ready("squad_bio", f"data.path={hub / 'rajpurkar/squad_v2'}")
    assert datamodule.task_arguments() == {"has_unanswerable": True}
    batch = next(iter(datamodule.train_dataloader())).micro_batches[0]
    assert batch.labels.max() == 2


def test_conll_has_entities_and_its_empty_sentences_are_left_out(ready: Ready) -> None:
    datamodule = ready("conll2003")
    assert sizes(datamodule) == SIZES
    assert datamodule.num_unlabelled == dict.fromkeys(SIZES, 1)
    assert set(datamodule.task_arguments()["label_names"]) == set(TAGS)
    first = examples(datamodule, "test")[0]
    assert first.words == tuple(text("word", "test", 0).split())
    assert first.tags == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    batch = next(iter(datamodule.train_dataloader())).micro_batches[0]
    assert (batch.batch_size, len(batch.labels)) == (4, 4 * 5)


def test_swag_has_four_endings_of_a_second_sentence(ready: Ready) -> None:
    datamodule = ready("swag")
    assert sizes(datamodule) == WITHOUT_TEST
    second = examples(datamodule, "train")[1]
    assert second.context == text("sent1", "train", 1)
    assert second.choices == tuple(
        f"{text('sent2', 'train', 1)} {text(f'ending{choice}', 'train', 1)}" for choice in range(4)
    )
    assert [question.label for question in examples(datamodule, "train")] == [2, 0, 3, 1] * 2
    batch = next(iter(datamodule.train_dataloader())).micro_batches[0]
    assert (batch.num_choices, len(batch.labels), batch.batch_size) == (4, 4, 16)
    with pytest.raises(DataError, match=f"all {SIZES['test']} rows are without labels in label"):
        ready("swag", "data.test=test")


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        (
            "mnli",
            "validation",
            "has no split 'validation'; it has train, validation_matched",
        ),
        ("rte", "train+dev[:5]", "has no split 'dev'; it has train, validation, test"),
        ("MRPC", "train", "has no configuration 'MRPC'; it has cola, sst2, mrpc"),
        (None, "train", r"has several configurations; set data\.name to one of cola, sst2"),
        ("rte", "train[5", r"Unrecognized instruction format: train\[5"),
    ],
)
def test_a_split_that_a_data_set_lacks_is_told_in_one_line(
    name: str | None, split: str, message: str, hub: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_split(str(hub / "nyu-mll" / "glue"), name, split)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_is_no_data_set_is_told_in_one_line(tmp_path: Path) -> None:
    cards = {
        "empty": ("", "has no data files"),
        "script": ("", r"scripts are no longer supported, but found script\.py"),
        "broken": ("---\nconfigs: [\n---\n", r"in its README\.md \(ParserError: while parsing"),
        "unknown": (
            "---\ndataset_info:\n  features:\n  - {name: text, dtype: strong}\n---\n",
            "Feature type 'Strong' not found",
        ),
        "other": (
            "---\ndataset_info:\n  features:\n  - {name: text, dtype: string}\n"
            "  splits:\n  - {name: train, num_examples: 7}\n---\n",
            r"in its README\.md \(NonMatchingSplitsSizesError",
        ),
    }
    for name, (card, message) in cards.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "README.md").write_text(card)
        if name == "script":
            (folder / "script.py").write_text("")
        elif name != "empty":
            (folder / "train.jsonl").write_text('{"text": "a"}\n')
        with pytest.raises(DataError, match=message) as caught:
            read_split(str(folder), None, "train")
        assert len(str(caught.value).splitlines()) == 1


def test_a_data_set_that_is_not_here_is_told_in_one_line() -> None:
    # The tests are offline.
    with pytest.raises(DataError, match="can be downloaded from the Hugging Face hub") as caught:
        read_split("nyu-mll/glue", "mrpc", "train")
    assert len(str(caught.value).splitlines()) == 1
