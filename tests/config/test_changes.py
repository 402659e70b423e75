"""What another value of a key means to a run."""

import re

import pytest

from clozekit.config.changes import EFFECTS, Effect, effect_of
from clozekit.config.values import flat
from tests.programs.commands import compose_values


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("seed", Effect.STREAM),
        ("data._target_", Effect.STREAM),
        ("data", Effect.LEARNT),
        ("data.max_seq_length", Effect.LEARNT),
        ("data.global_batch_size", Effect.LEARNT),
        ("data.num_workers", Effect.MANNER),
        ("data.first_phase.max_seq_length", Effect.LEARNT),
        ("data.first_phase.micro_batch_size", Effect.COURSE),
        ("data.phases.0.micro_batch_size", Effect.COURSE),
        ("data.phases.0.global_batch_size", Effect.LEARNT),
        ("data.phases.11.weights.news", Effect.LEARNT),
        ("data.path.news.path", Effect.COURSE),
        ("data.path.news.weight", Effect.LEARNT),
        ("encoder.vocab_size", Effect.COURSE),
        ("logger.csv.path", Effect.MANNER),
        ("name", Effect.NAME),
        ("names", None),
        ("trainer", None),
        ("trainer.precision", None),
        ("task.classifier_dropout", None),
    ],
)
def test_the_nearest_declaration_holds(key: str, effect: Effect | None) -> None:
    assert effect_of(key) is effect


def test_every_key_is_one_of_train() -> None:
    first = "{ratio: 0.9, max_seq_length: 32, micro_batch_size: 8}"
    known: set[str] = set()
    for more in (
        ["data.path=a", f"data.first_phase={first}"],
        ["data=classification"],
        ["data=tagging"],
    ):
        train = "name=a" if "data.path=a" in more else "data.train=a"
        values = compose_values("train", "name=a", train, *more, "trainer=ddp_cpu")
        known |= flat(values).keys()
    mixture = "data.path={a: {path: a, weight: 1}}"
    phases = "data.phases=[{ratio: 1, micro_batch_size: 8}]"
    several = flat(compose_values("train", "name=a", mixture, phases)).keys()
    known |= {re.sub(r"path\.a|phases\.0", lambda key: key[0][:-1] + "*", key) for key in several}
    groups = {key.rsplit(".", count)[0] for key in known for count in range(1, key.count(".") + 1)}
    # Lightning's own default, which no file of the folder states.
    assert EFFECTS.keys() - known - groups <= {"trainer.num_nodes"}
