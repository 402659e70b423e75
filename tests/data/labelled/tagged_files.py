"""Files of tagged words, and what is read from them."""

from pathlib import Path
from typing import Any

from clozekit.data.labelled.tagging import TaggingDataModule, TaggingFeatures
from tests.data.spelling import spelling_tokenizer


def features_of(max_seq_length: int = 128, doc_stride: int = 64) -> TaggingFeatures:
    return TaggingFeatures(
        spelling_tokenizer(), max_seq_length=max_seq_length, doc_stride=doc_stride
    )


def datamodule(train: Path, validation: Path | None = None, **options: Any) -> TaggingDataModule:
    return TaggingDataModule(
        tokenizer=spelling_tokenizer(),
        train=str(train),
        validation=str(validation or train),
        seed=0,
        global_batch_size=2,
        micro_batch_size=2,
        **options,
    )


def all_labels(data: TaggingDataModule) -> list[int]:
    return [label for loaded in data.val_dataloader() for label in loaded.batch.labels.tolist()]  # type: ignore[attr-defined]
