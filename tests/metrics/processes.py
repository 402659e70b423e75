"""Metrics on three processes, of which the last sees no data; writes what each computes.

A process of its own, because forking from the tests' process is not safe: it has threads by then.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from clozekit.metrics.entities import EntityF1
from clozekit.metrics.retrieval import EmbeddingMetrics
from clozekit.metrics.squad_metric import SquadMetric

QUESTIONS: list[tuple[str, list[str], float]] = [
    ("Paris", ["Paris", "the city of Paris"], -2.0),
    ("in 1999", ["1999"], 0.1),
    ("nobody", [], -0.7),
    ("a red house", ["red house"], 1.0 / 3.0),
    ("", [], 3.0),
]
SENTENCES = [
    (["B-PER", "I-PER", "O"], ["B-PER", "I-PER", "O"]),
    (["B-LOC", "O"], ["B-PER", "O"]),
    (["I-LOC", "O", "B-LOC"], ["B-LOC", "O", "B-LOC"]),
]
PAIRS = [(f"{i}", f"{i % 4}", None if i % 3 else i / 7) for i in range(11)]
"""An anchor, its positive and a score, if any; some positives occur several times."""

SHARES = 2
WORLD_SIZE = SHARES + 1


def squad(questions: list[tuple[str, list[str], float]]) -> SquadMetric:
    """A metric that has seen the questions one by one."""
    metric = SquadMetric()
    for answer, golds, no_answer_score in questions:
        metric.update([answer], [golds], [no_answer_score])
    return metric


def entity_f1(sentences: list[tuple[list[str], list[str]]]) -> EntityF1:
    """A metric that has seen the sentences one by one."""
    metric = EntityF1(["LOC", "PER"])
    for predicted, gold in sentences:
        metric.update([predicted], [gold])
    return metric


def vector_of(text: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int(text) + 1)
    return torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)


def embeddings(pairs: list[tuple[str, str, float | None]]) -> EmbeddingMetrics:
    """A metric that has seen the pairs one by one."""
    metric = EmbeddingMetrics(3, 0.1)
    for anchor, positive, score in pairs:
        metric.update(
            torch.stack([-vector_of(anchor), vector_of(positive)])[None],
            torch.tensor([[int(anchor) + 100, int(positive) + 1]]),
            torch.tensor([score or 0.0]),
            torch.tensor([score is not None]),
            torch.tensor([True]),
        )
    return metric


def results(answers: SquadMetric, entities: EntityF1, pairs: EmbeddingMetrics) -> dict[str, Any]:
    """What the metrics compute."""
    per_type = entities.per_type()
    return {
        "squad": {name: value.item() for name, value in answers.compute().items()},
        "entities": {name: value.item() for name, value in entities.compute().items()},
        "embeddings": {name: value.item() for name, value in pairs.compute().items()},
        "per_type": per_type,
        "per_type_again": entities.per_type(),
    }


def work(rank: int, folder: Path) -> None:
    """One process: its share, as Lightning would move and synchronize the metrics."""
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=WORLD_SIZE)
    idle = rank == SHARES
    # Questions 0, 2, 4 and 1, 3: unequal numbers.
    answers = squad([] if idle else QUESTIONS[rank::SHARES]).to(torch.device("cpu"))
    entities = entity_f1([] if idle else SENTENCES[rank::SHARES]).to(torch.device("cpu"))
    pairs = embeddings([] if idle else PAIRS[rank::SHARES]).to(torch.device("cpu"))
    (folder / f"{rank}.json").write_text(json.dumps(results(answers, entities, pairs)))
    distributed.barrier()
    distributed.destroy_process_group()


def main(folder: Path) -> int:
    """Forks the processes, and gives 1 where one of them failed, else 0."""
    children = []
    for rank in range(WORLD_SIZE):
        child = os.fork()
        if child == 0:
            try:
                work(rank, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
