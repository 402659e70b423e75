"""Chooses what to show of a DataModule."""

from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.module import StreamDataModule
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.errors import ConfigError
from clozekit.inspection.documents import document_parts
from clozekit.inspection.rows import LabelledRows
from clozekit.inspection.samples import Samples
from clozekit.inspection.shown import Inspection, Part


def inspection_of(datamodule: StreamDataModule, title: str, split: str, number: int) -> Inspection:
    """Shows the data of a run: labelled rows, prepared corpora, or another DataModule's batches.

    Args:
        datamodule: The DataModule.
        title: The title.
        split: The split.
        number: The number of examples of each kind.

    Raises:
        ConfigError: There is no such split.
    """
    if split not in datamodule.sources:
        raise ConfigError(f"split={split}: the data only has {', '.join(datamodule.sources)}")
    if isinstance(datamodule, LabelledDataModule):
        return Inspection(title, LabelledRows(datamodule, split, number).parts())
    parts: list[Part] = []
    if isinstance(datamodule, CorpusDataModule) and split != "test":
        whole = {"vocabulary": f"{datamodule.vocab_size:,} tokens", **datamodule.facts()}
        parts = list(document_parts(datamodule, split, number))  # type: ignore[arg-type]
        parts[0].facts |= whole
    return Inspection(title, [*parts, *Samples(datamodule, split, number).parts()])
