"""`clozekit inspect`: what is shown is what training reads, of corpora and of every task."""

import json
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clozekit.command import run_verb
from clozekit.config.inspect import InspectConfig
from clozekit.errors import ConfigError
from clozekit.inspect import inspect
from clozekit.inspection import duplicates, rows, samples
from clozekit.inspection.shown import Inspection, Part, ShownExample
from clozekit.inspection.vocabulary import Vocabulary
from clozekit.output.display import printable
from clozekit.training.assembly import make_datamodule
from tests.pages.hostile import check
from tests.programs.commands import TINY, compose_values, train_config
from tests.programs.hostile_rows import ROWS, overrides_of, write_rows
from tests.programs.task_files import write_task


def inspected(*overrides: str) -> Inspection:
    return inspect(InspectConfig.model_validate(compose_values("inspect", *overrides)))


def part_of(inspection: Inspection, beginning: str) -> Part:
    return next(part for part in inspection.parts if part.heading.startswith(beginning))


def ids_of(examples: list[ShownExample]) -> list[list[str]]:
    return [[t.text for t in sequence.tokens] for e in examples for sequence in e.sequences]


def first_steps(*overrides: str, number: int = 1) -> list[Any]:
    """The first batches of a run, as training gets them."""
    datamodule = make_datamodule(train_config("name=a", "max_steps=100", *overrides), None)
    steps = iter(datamodule.train_dataloader())
    return [b for _ in range(number) for b in next(steps).micro_batches]


def tokens_of(batch: Any, vocabulary: Vocabulary) -> list[list[str]]:
    ids, bounds = batch.input_ids.tolist(), batch.packing.cu_seqlens.tolist()
    pairs = pairwise(bounds)
    return [[vocabulary.shown(i) for i in ids[begin:end]] for begin, end in pairs]


@pytest.fixture(scope="module")
def tokenizer(corpus: Path) -> Path:
    return corpus / "tokenizer.json"


@pytest.mark.parametrize("task", ["pretraining", "masked_lm"])
def test_the_samples_of_a_corpus_are_those_of_the_first_step(corpus: Path, task: str) -> None:
    given = (f"task={task}", f"data={task}", f"data.path={corpus}", *TINY)
    inspection = inspected(*given, "examples=4")
    part = part_of(inspection, "The first samples of training")
    datamodule = make_datamodule(train_config("name=a", "max_steps=9", *given), None)
    (batch, _) = next(iter(datamodule.train_dataloader())).micro_batches
    vocabulary = Vocabulary(datamodule.tokenizer)
    assert ids_of(part.examples) == tokens_of(batch, vocabulary)[:4]
    # The chosen tokens of these sequences, and what was there before.
    end = int(batch.packing.cu_seqlens[4])
    wanted = {
        place: vocabulary.shown(label)
        for place, label in zip(
            batch.masked_lm_positions.tolist(), batch.masked_lm_labels.tolist(), strict=True
        )
        if place < end
    }
    tokens = [token for e in part.examples for s in e.sequences for token in s.tokens]
    noted = {place: token for place, token in enumerate(tokens) if token.note}
    assert noted.keys() == wanted.keys()
    for place, token in noted.items():
        if token.note == "unchanged":
            assert token.text == wanted[place] and "kept" in token.kinds
        else:
            assert token.note == wanted[place] != token.text
            assert ("masked" in token.kinds) == (token.text == "[MASK]")
    second = ["second" in token.kinds for token in tokens]
    assert second == [bool(i) for i in batch.token_type_ids[:end].tolist()]
    if task == "pretraining":
        labels = ["B is random" if label else "B follows A" for label in batch.next_sentence_label]
        assert [e.texts[0].text for e in part.examples] == labels[:4]
        assert "B is random" in part.facts["pairs"]
    assert part.facts["tokens to predict"].count("%") == 4


def test_the_documents_of_a_corpus_are_shown(corpus: Path) -> None:
    part = part_of(inspected(f"data.path={corpus}", *TINY, "examples=2"), "Documents")
    assert "documents" in part.facts["train"] and "0 documents with" in part.facts["duplicates"]
    assert len(part.examples) == 2 and part.examples[0].title.startswith("document ")
    assert part.examples[0].texts[0].name == "sentence 1"
    counted = sum(bar.count for bar in part.histograms[0].bars)
    assert part.facts["looked at"].startswith(f"the first {counted:,} of {counted:,} documents")


def test_sources_and_phases_of_a_mixture_are_shown_apart(corpus: Path) -> None:
    phases = "[{ratio:0.5,max_seq_length:24},{ratio:0.5,weights:{a:1,b:3},masked_lm_prob:0.3}]"
    sources = f"{{a:{{path:{corpus},weight:1}},b:{{path:{corpus},weight:1}}}}"
    inspection = inspected(*TINY, f"data.path={sources}", f"data.phases={phases}")
    headings = [part.heading for part in inspection.parts]
    assert headings == [
        *("Documents of a", "Documents of b"),
        *("The first samples of phase 1 of 2", "The first samples of phase 2 of 2"),
    ]
    first, second = inspection.parts[2:]
    assert first.facts["phase"].startswith("at most 24 tokens")
    assert max(len(t) for t in ids_of(first.examples)) <= 24
    assert "0.3 of them masked" in second.facts["phase"]
    assert second.facts["sources"].startswith("75.0% b, 25.0% a")
    assert {e.hint for e in second.examples} <= {"a", "b"}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_another_split_of_a_corpus(corpus: Path, split: str) -> None:
    if split == "test":
        with pytest.raises(ConfigError, match="split=test: the data only has train, validation"):
            inspected(f"data.path={corpus}", *TINY, "split=test")
        return
    inspection = inspected(f"data.path={corpus}", *TINY, "split=validation", "examples=3")
    assert len(part_of(inspection, "Samples of validation").examples) == 3


@pytest.mark.parametrize("task", ROWS)
def test_rows_of_every_task_are_those_of_training(
    task: str, tokenizer: Path, tmp_path: Path
) -> None:
    given = overrides_of(task, write_rows(tmp_path / "rows.jsonl", task), tokenizer)
    out = tmp_path / "page.html"
    inspection = inspected(*given, "examples=8", f"out={out}")
    shown = part_of(inspection, "Rows of train as the model gets them")
    datamodule = make_datamodule(train_config("name=a", "max_steps=9", *given), None)
    vocabulary = Vocabulary(datamodule.tokenizer)
    batches = first_steps(*given, number=6)
    trained = [tokens for batch in batches for tokens in tokens_of(batch, vocabulary)]
    every = ids_of(shown.examples)
    assert len(shown.examples) == 8
    number = sum(tokens in trained for tokens in every)
    # The windows of a row are trained in different steps.
    assert number >= 8 and (number == len(every) or len(every) > 8)
    found = check(out.read_text(encoding="utf-8"))
    for example in shown.examples:
        for text in example.texts:
            assert printable(text.text, keep="\n\t")[:20] in found.shown
    assert "longest" in part_of(inspection, "Rows of train").facts["lengths"]


def test_hostile_rows_are_printed_without_control_characters(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "a.jsonl", "classification")
    inspected(*overrides_of("classification", rows, tokenizer), "examples=24")
    printed = capsys.readouterr().out
    assert "\\x1b[31mred" in printed and "\x1b[31m" not in printed
    assert "\u202e" not in printed and "[red]markup" in printed


def test_tags_are_at_the_first_tokens_of_words(tokenizer: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("feedshorse B-animal\nold O\n\n" * 2 + "old O\nhorse B-x\n\n" * 2)
    given = (*("task=tagging", "data=tagging"), f"data.train={file}", f"data.validation={file}")
    inspection = inspected(*given, *TINY, f"data.tokenizer={tokenizer}", "examples=4")
    part = part_of(inspection, "Rows of train as")
    tokens = [t for e in part.examples if "feeds" in e.texts[0].text for t in e.sequences[0].tokens]
    kinds = [(token.note, token.kinds) for token in tokens]
    assert kinds[0] == ("", ("special",)) and kinds[1] == ("B-animal", ("target",))
    assert ("", ("ignored",)) in kinds, "the other tokens of a word have no tag"
    facts = part_of(inspection, "Rows of train").facts
    assert facts["duplicates"].startswith("2 rows with the texts of another row")


def test_the_windows_of_a_question_mark_its_answer(tokenizer: Path, tmp_path: Path) -> None:
    for task in ("question_answering", "question_answering_bio"):
        train = write_task(tmp_path, task, 24, 1)
        given = (f"task={task}", f"data={task}", *TINY, f"data.train={train}")
        more = ("data.doc_stride=12", "data.max_query_length=8", f"data.tokenizer={tokenizer}")
        part = part_of(inspected(*given, *more, "examples=20"), "Rows of train as")
        several = [e for e in part.examples if len(e.sequences) > 1]
        assert several and "window 1 of" in several[0].sequences[0].title
        answers = 0
        for example in part.examples:
            marks = [mark for text in example.texts for mark in text.marks]
            for sequence in example.sequences:
                has = any("answer" in token.kinds for token in sequence.tokens)
                assert has == ("with the answer" in sequence.title)
                assert not has or marks
                answers += has
        assert answers


def test_choices_and_pairs_have_a_sequence_each(tokenizer: Path, tmp_path: Path) -> None:
    for task, titles in (
        ("multiple_choice", {"choice 0", "choice 1", "choice 2"}),
        ("embedding", {"anchor", "positive"}),
    ):
        given = overrides_of(task, write_rows(tmp_path / f"{task}.jsonl", task), tokenizer)
        part = part_of(inspected(*given), "Rows of train as")
        for example in part.examples:
            found = [s.title.partition(",")[0] for s in example.sequences]
            assert {title.removesuffix(" (right)") for title in found} == titles
            assert sum("(right)" in title for title in found) == (task == "multiple_choice")


def test_truncated_rows_unknown_words_and_duplicates_are_counted(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the old horse", "the old horse", "日本 feeds", "cow " * 90, "field", "the old cow"]
    labels = ["a", "b", "a", "b", "a", "b"]
    file = tmp_path / "a.csv"
    file.write_text(
        "text,label\n" + "".join(f"{t},{c}\n" for t, c in zip(texts, labels, strict=True))
    )
    given = (*("task=classification", "data=classification"), f"data.train={file}")
    given += (f"data.validation={file}", *TINY, f"data.tokenizer={tokenizer}", "examples=6")
    inspection = inspected(*given)
    facts = part_of(inspection, "Rows of train").facts
    assert facts["truncated"] == "1 of 6 rows"
    assert facts["duplicates"] == (
        "1 rows with the texts of another row; 1 texts have different labels"
    )
    shown = part_of(inspection, "Rows of train as").examples
    assert [e.hint for e in shown if e.hint] == ["truncated: 48 of 92 tokens are kept"]
    counts = {each.title: each.rows for each in part_of(inspection, "Rows of train").counts}
    assert counts["labels"] == (("a", 3), ("b", 3))
    assert "unknown words" in counts
    monkeypatch.setattr(duplicates, "MOST_ROWS", 2)
    monkeypatch.setattr(rows, "MOST_ROWS", 3)
    part = part_of(inspected(*given, "split=validation"), "Rows of validation")
    assert part.facts["also in train"] == "1 texts (of the first 2 of 6 rows of train)"
    assert part.notes == ["Labels and unknown words are those of 3 rows, at equal distances."]


def test_the_number_of_counted_sequences_is_bounded(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_SEQUENCES", 40)
    part = part_of(inspected(f"data.path={corpus}", *TINY), "The first samples")
    assert part.facts["counted"].startswith("64 sequences")
    assert np.array([bar.count for bar in part.histograms[0].bars]).sum() == 64


def test_the_data_of_a_run_is_found_by_its_folder(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["clozekit", "train", "name=a", f"data.path={corpus}", "max_steps=5", *TINY]
    (tmp_path / "run.json").write_text(json.dumps({"command": shlex.join(command)}))
    monkeypatch.setattr(sys, "argv", ["clozekit", "inspect", f"from_run={tmp_path}"])
    assert run_verb("inspect") == 0
    assert capsys.readouterr().out.startswith(f"{corpus}\n")


def test_the_command_of_a_run_can_be_repeated(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["name=mine", f"data.path={corpus}", "max_steps=5", *TINY, "logger=null"]
    monkeypatch.setattr(sys, "argv", ["clozekit", "inspect", *given, "out=a page.html"])
    assert run_verb("inspect") == 0
    assert capsys.readouterr().out == "wrote a page.html\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a page.html"]
    check((tmp_path / "a page.html").read_text())
    monkeypatch.setattr(sys, "argv", ["clozekit", "inspect", *given, "out=a page.html"])
    assert run_verb("inspect") == 2
    assert "out=a page.html already exists" in capsys.readouterr().err


def test_an_experiment_that_is_a_sweep_is_inspected_with_its_first_setting(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("experiment=objectives", f"data.path={corpus}", *TINY, "examples=1")
    for more, first, has_pairs in (
        ((), "inspects the first setting of the sweep: objective=masked_lm\n", False),
        (("objective=sentence_order",), "", True),
    ):
        monkeypatch.setattr(sys, "argv", ["clozekit", "inspect", *given, *more])
        assert run_verb("inspect") == 0
        told = capsys.readouterr()
        assert told.err.startswith(first)
        assert ("pair:" in told.out) == has_pairs
