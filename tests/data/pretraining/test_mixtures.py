"""A mixture of corpora in a DataModule: its samples, its validation, and what it refuses."""

import json
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from clozekit.corpus.manifest import MANIFEST_FILE
from clozekit.data.loader import TrainingLoader, loader_options
from clozekit.data.order import Position
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.masked_lm_datamodule import MaskedLMDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.stream import TrainingStream
from clozekit.errors import DataError

SIZES = {"seed": 0, "global_batch_size": 8, "micro_batch_size": 4, "max_seq_length": 48}
KINDS = (PretrainingDataModule, MaskedLMDataModule)
PHASES = [
    {"ratio": 0.25, "max_seq_length": 24, "global_batch_size": 4},
    {"ratio": 0.25, "max_seq_length": 24, "masked_lm_prob": 0.3, "weights": {"b": 3}},
    {"ratio": 0.25, "max_seq_length": 24, "weights": {"a": 0}},
    {"ratio": 0.25, "micro_batch_size": 2},
]
STEPS = 12


def mixed(corpus: Path, kind: Any = PretrainingDataModule, **changes: Any) -> CorpusDataModule:
    """The same corpus twice: of both, each sample has another order and other masks."""
    path = {"a": {"path": corpus, "weight": 3}, "b": {"path": corpus, "weight": 1}}
    made: CorpusDataModule = kind(**{"path": path, **SIZES, **changes})
    return made


def steps_of(
    module: CorpusDataModule,
    start: Position | None = None,
    rank: int = 0,
    ranks: int = 1,
    num_workers: int = 0,
) -> list[Any]:
    start = start or Position()
    stream = TrainingStream(module.phases(STEPS, rank, ranks), 0, start)
    loader = TrainingLoader(stream, lambda: start, **loader_options(num_workers, pin_memory=False))
    return list(islice(loader, STEPS - start.step))


def described(step: Any) -> tuple[Any, ...]:
    batches = [(b.input_ids.tolist(), b.sample_ids.tolist()) for b in step.micro_batches]
    return step.index, step.phase, step.totals, step.next_position, batches


def names_of(step: Any, num_shards: int) -> Counter[str]:
    shards = [int(shard) for batch in step.micro_batches for shard in batch.sample_ids[:, 1]]
    return Counter("a" if shard < num_shards else "b" for shard in shards)


def test_every_step_has_the_shares(corpus: Path) -> None:
    module = mixed(corpus)
    for step in islice(module.train_dataloader(), 6):
        assert names_of(step, len(module.corpora.ranges("train")[0])) == {"a": 6, "b": 2}
        assert step.totals.num_sequences == 8
        assert step.totals.num_tokens == sum(len(batch.input_ids) for batch in step.micro_batches)
        assert step.totals.num_targets == sum(
            len(batch.masked_lm_labels) for batch in step.micro_batches
        )
        # Each micro-batch has the shares too, so that no process has all of the longer texts.
        assert [batch.batch_size for batch in step.micro_batches] == [4, 4]
        firsts = [names_of(_One(batch), 1)["a"] for batch in step.micro_batches]
        assert firsts == [3, 3]


class _One:
    def __init__(self, batch: Any) -> None:
        self.micro_batches = [batch]


@pytest.mark.parametrize("kind", KINDS)
def test_the_stream_goes_on_from_any_step_of_any_phase(kind: Any, corpus: Path) -> None:
    whole = steps_of(mixed(corpus, kind, phases=PHASES))
    assert [step.phase for step in whole] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    for done in range(1, STEPS):
        module = mixed(corpus, kind, phases=PHASES)
        module.position = whole[done - 1].next_position
        saved = json.loads(json.dumps(module.state_dict()))
        module.load_state_dict(saved)
        rest = steps_of(module, module.position)
        assert [described(step) for step in rest] == [described(step) for step in whole[done:]]


def test_workers_make_the_same_steps(corpus: Path) -> None:
    module = mixed(corpus, phases=PHASES)
    whole = steps_of(module)
    rest = steps_of(module, whole[1].next_position, num_workers=2)
    assert [described(step) for step in rest] == [described(step) for step in whole[2:]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_has_the_same_samples_on_two_processes(kind: Any, corpus: Path) -> None:
    def samples(ranks: int) -> list[list[list[int]]]:
        of_steps: list[list[list[int]]] = [[] for _ in range(STEPS)]
        for rank in range(ranks):
            for step in steps_of(mixed(corpus, kind, phases=PHASES), rank=rank, ranks=ranks):
                for batch in step.micro_batches:
                    of_steps[step.index] += batch.sample_ids.tolist()
        return [sorted(step) for step in of_steps]

    assert samples(2) == samples(1)


def test_each_phase_has_its_weights_masks_and_sizes(corpus: Path) -> None:
    module = mixed(corpus, phases=PHASES)
    steps = steps_of(module)
    num_shards = len(module.corpora.ranges("train")[0])
    counts = [names_of(step, num_shards) for step in steps]
    assert counts[0] == counts[1] == {"a": 3, "b": 1}
    assert counts[3] == counts[4] == {"a": 4, "b": 4}
    assert counts[6] == {"b": 8}
    assert counts[9] == {"a": 6, "b": 2} and len(steps[9].micro_batches) == 4
    rates = [step.totals.num_targets / step.totals.num_tokens for step in steps]
    assert 0.2 < rates[3] < 0.33 and rates[0] < 0.18 and rates[6] < 0.18
    longest = [max(b.packing.max_seqlen for b in step.micro_batches) for step in steps]
    assert max(longest[:9]) <= 24 < longest[9] <= 48


def test_the_order_in_which_sources_are_written_changes_nothing(corpus: Path) -> None:
    source = {"path": corpus}
    one, other = (
        mixed(corpus, path=path)
        for path in ({"a": source, "b": source}, {"b": source, "a": source})
    )
    assert one.data_hash == other.data_hash and one.source_names == other.source_names
    described_steps = [
        [described(s) for s in islice(m.train_dataloader(), 3)] for m in (one, other)
    ]
    assert described_steps[0] == described_steps[1]


def test_the_hash_depends_on_the_names_and_a_single_path_has_that_of_its_corpus(
    corpus: Path,
) -> None:
    single = mixed(corpus, path=corpus)
    renamed = mixed(corpus, path={"a": {"path": corpus}, "c": {"path": corpus}})
    assert single.data_hash == single.corpora.all[0].hash
    assert len({single.data_hash, renamed.data_hash, mixed(corpus).data_hash}) == 3


def test_validation_has_batches_of_one_source_in_turn(corpus: Path) -> None:
    module, single = mixed(corpus), mixed(corpus, path=corpus)
    loaded, alone = list(module.val_dataloader()), list(single.val_dataloader())
    sources = [each.source for each in loaded]
    shorter = min(sources.count(0), sources.count(1))
    assert sources[: 2 * shorter] == [0, 1] * shorter
    assert len(set(sources[2 * shorter :])) <= 1
    assert {each.source for each in alone} == {None}
    of_first = [each.batch.input_ids.tolist() for each in loaded if each.source == 0]
    assert of_first == [each.batch.input_ids.tolist() for each in alone]
    assert module.num_evaluation_batches("validation", 0, 1) == len(loaded)


def test_an_epoch_is_as_many_samples_as_all_sources_have(corpus: Path) -> None:
    single = mixed(corpus, path=corpus)
    assert mixed(corpus).steps_per_epoch() == pytest.approx(2 * single.steps_per_epoch(), rel=0.1)


def test_phases_of_the_same_length_share_their_plans(corpus: Path) -> None:
    first, second, third, last = (p.source for p in mixed(corpus, phases=PHASES).phases(9, 0, 1))
    assert first is third and first is not second
    assert first._plans is second._plans and last._plans is not first._plans  # type: ignore[attr-defined]


def test_a_corpus_with_another_tokenizer_is_refused(corpus: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(corpus, tmp_path / "other"))
    manifest = json.loads((other / MANIFEST_FILE).read_text())
    manifest["tokenizer_sha256"] = "0" * 64
    (other / MANIFEST_FILE).write_text(json.dumps(manifest))
    path = {"news": {"path": corpus}, "old": {"path": other}}
    with pytest.raises(
        DataError, match=r"data\.path\.old\.path=.*other has another tokenizer than"
    ):
        mixed(corpus, path=path)
    with pytest.raises(DataError, match="another tokenizer"):
        mixed(corpus).config.model_copy(
            update={"path": mixed(corpus).config.model_validate({"path": path, **SIZES}).path}
        ).check_files()


def test_a_source_without_samples_is_named(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = mixed(corpus)
    first = len(module.corpora.ranges("train")[0])
    source = module.sources["train"]
    monkeypatch.setattr(source, "num_samples", lambda epoch, shard: int(shard < first))
    with pytest.raises(DataError, match=r"data\.path\.b\.path=.*: the train split has no sentence"):
        module.check_samples()
