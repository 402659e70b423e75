"""The DataModule of classification: labelled texts, or pairs of texts, from files."""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from clozekit import rng
from clozekit.corpus.vocabulary import load_tokenizer
from clozekit.data.labelled import ClassificationSource, LabelledTexts, read_labelled
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError, DataError


class ClassificationDataModule(StreamDataModule):
    """Rows of one text or two, and a class.

    Args:
        train: The file of training rows.
        validation: The file of validation rows; None to hold out a share of the training rows.
        test: The file of test rows, if there is one.
        tokenizer: A `tokenizer.json` or `vocab.txt`, or a tokenizer; None, in a configuration, to
            take the pretrained encoder's.
        text_column: The column of the text.
        text_pair_column: The column of the second text, if there is one.
        label_column: The column of the class.
        validation_fraction: The share held out, of every class alike, without a validation file.
        seed: What the order and the rows held out depend on.
        global_batch_size: Rows of an optimizer step, over all processes.
        micro_batch_size: The most rows of one forward pass.
        num_workers: Processes that build batches beside the training process.
        max_seq_length: The longest sequence, special tokens included; longer rows are cut.

    Raises:
        DataError: A file cannot be used, or has a class that the training rows lack.
        ConfigError: There is no tokenizer.
    """

    def __init__(
        self,
        train: str,
        validation: str | None = None,
        test: str | None = None,
        *,
        tokenizer: str | Tokenizer | None,
        seed: int,
        global_batch_size: int,
        micro_batch_size: int,
        text_column: str = "text",
        text_pair_column: str | None = None,
        label_column: str = "label",
        validation_fraction: float = 0.1,
        num_workers: int = 0,
        max_seq_length: int = 128,
    ) -> None:
        super().__init__(
            seed=seed,
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_workers=num_workers,
            max_seq_length=max_seq_length,
        )
        if tokenizer is None:
            raise ConfigError(
                "data.tokenizer is null: give a tokenizer.json or vocab.txt, or encoder.pretrained "
                "to take the pretrained encoder's"
            )
        self.tokenizer = (
            tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(Path(tokenizer))
        )
        files = {"train": train, "validation": validation, "test": test}
        splits = {
            split: read_labelled(path, text_column, text_pair_column, label_column)
            for split, path in files.items()
            if path is not None
        }
        if validation is None:
            splits["train"], splits["validation"] = hold_out(
                splits["train"], validation_fraction, seed
            )
        self.data_hash = splits["train"].hash
        self.label_names = sorted(set(splits["train"].labels))
        for split, rows in splits.items():
            unknown = sorted(set(rows.labels) - set(self.label_names))
            if unknown:
                raise DataError(
                    f"{files[split]}: the label {unknown[0]!r} is not one of the training rows', "
                    f"{', '.join(self.label_names)}"
                )
            self.sources[split] = ClassificationSource(
                rows, self.tokenizer, self.label_names, max_seq_length
            )

    def task_arguments(self) -> dict[str, Any]:
        """Gives the classes, in the order of their ids."""
        return {"label_names": self.label_names}

    def facts(self) -> dict[str, str]:
        """Tells of the rows of every split."""
        rows = [
            f"{source.num_samples(0, 0):,} in {split} ({source.num_truncated:,} cut)"
            for split, source in self.sources.items()
            if isinstance(source, ClassificationSource)
        ]
        return {"rows": ", ".join(rows), "labels": ", ".join(self.label_names)}


def hold_out(
    rows: LabelledTexts, fraction: float, seed: int
) -> tuple[LabelledTexts, LabelledTexts]:
    """Cuts a share of every class off, drawn by the seed.

    Returns:
        The rows that stay and the rows held out, both in their old order.

    Raises:
        DataError: A share is empty.
    """
    draws = rng.uniform(seed, rng.Stream.HELD_OUT_ROWS, np.arange(len(rows.labels)))
    labels = np.array(rows.labels)
    is_held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels == label)
        count = round(fraction * len(of_label))
        is_held_out[of_label[np.argsort(draws[of_label])[:count]]] = True
    if not is_held_out.any() or is_held_out.all():
        raise DataError(
            f"validation_fraction={fraction} of {len(labels)} rows leaves no rows for one of the "
            "two splits"
        )
    return _select(rows, ~is_held_out), _select(rows, is_held_out)


def _select(rows: LabelledTexts, mask: np.ndarray) -> LabelledTexts:
    chosen = np.flatnonzero(mask).tolist()
    return LabelledTexts(
        texts=[rows.texts[row] for row in chosen],
        text_pairs=None if rows.text_pairs is None else [rows.text_pairs[row] for row in chosen],
        labels=[rows.labels[row] for row in chosen],
    )
