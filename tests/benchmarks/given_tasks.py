"""What benchmarks of the tests are given: two tasks, two rates, and scores."""

from collections.abc import Mapping

from clozekit.sweeps.job import Job

TOPICS = (
    "suite.tasks.topics.task=classification",
    "suite.tasks.topics.data.train=topics.csv",
    "suite.tasks.topics.data.test=test.csv",
    "suite.tasks.topics.data.max_seq_length=48",
)

NAMES = (
    "suite.tasks.names.task=tagging",
    "suite.tasks.names.data.train=names.conll",
    "suite.tasks.names.data.max_seq_length=16",
    "suite.tasks.names.data.doc_stride=6",
)

FIRST = ("checkpoint=first", "suite=local", "suite.rates=[1e-3,1e-2]")


def by_rate(job: Job) -> Mapping[str, float]:
    """The larger rate is better on validation and worse on test."""
    value = job.config.optimizer.lr * 10
    names = ("accuracy", "f1")
    return {
        **{f"validation/{name}": value for name in names},
        **{f"test/{name}": 0.5 - value for name in names},
    }
