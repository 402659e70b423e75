"""What the DataModules of all fine-tuning tasks share: files, splits, and the rows in them."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import astuple
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np
from tokenizers import Tokenizer

from clozekit import rng
from clozekit.corpus.vocabulary import load_tokenizer
from clozekit.data.files.rows import Rows, read_split
from clozekit.data.labelled.features import ExampleT, Features, RowError
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError, DataError


class LabelledDataModule(StreamDataModule, Generic[ExampleT]):
    """Rows with labels. A task says how it reads them.

    Args:
        tokenizer: A `tokenizer.json` or `vocab.txt`, or a tokenizer; None, in a configuration, to
            take the pretrained encoder's.
        train: The file of training rows; a split's name where there is a `path`.
        validation: The file or split of validation rows; None to hold out a share of the training
            rows, of every class alike.
        test: The file or split of test rows, if there is one.
        path: A data set's folder, or its name on the Hugging Face hub.
        name: The data set's configuration, where it has several.
        validation_fraction: The share held out.
        seed: What the order and the rows held out depend on.
        global_batch_size: Rows of an optimizer step, over all processes; of rows that are cut into
            windows, windows.
        micro_batch_size: The most rows of one forward pass.
        num_workers: Processes that build batches beside the training process; None for none on the
            CPU, and for a core each on other devices, at most 4.
        prefetch_factor: The batches that each of them builds ahead; None for torch's own number.
        **reading: How rows are read: the arguments of the task's features.

    Attributes:
        features: How rows are read.
        num_unlabelled: The rows of every split that were left out because they have no label.

    Raises:
        DataError: A file cannot be used, or has a class that the training rows lack.
        ConfigError: There is no tokenizer.
    """

    features_class: ClassVar[type[Features[Any]]]

    def __init__(
        self,
        *,
        tokenizer: str | Tokenizer | None,
        train: str,
        validation: str | None = None,
        test: str | None = None,
        path: str | None = None,
        name: str | None = None,
        validation_fraction: float = 0.1,
        seed: int,
        global_batch_size: int,
        micro_batch_size: int,
        num_workers: int | None = None,
        prefetch_factor: int | None = None,
        **reading: Any,
    ) -> None:
        features: Features[ExampleT] = self.features_class(open_tokenizer(tokenizer), **reading)
        super().__init__(
            seed=seed,
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            max_seq_length=features.max_seq_length,
        )
        self.features = features
        self.tokenizer = features.tokenizer
        self.num_unlabelled: dict[str, int] = {}
        given = {"train": train, "validation": validation, "test": test}
        rows = {
            split: features.read_rows(source) if path is None else read_split(path, name, source)
            for split, source in given.items()
            if source is not None
        }
        examples = {"train": self._examples("train", rows["train"])}
        features.learn_labels(examples["train"], rows["train"].class_names)
        names = features.label_names
        if names is not None and len(names) < 2:
            raise DataError(
                f"{rows['train'].name}: its rows have {len(names)} different labels "
                f"({', '.join(names)}), where two or more are needed"
            )
        for split in rows.keys() - {"train"}:
            examples[split] = self._examples(split, rows[split], check=True)
        if validation is None:
            every = examples["train"]
            examples["train"], examples["validation"] = hold_out(
                every, features.strata(every), features.groups(every), validation_fraction, seed
            )
        self.data_hash = _hash(examples["train"])
        for split in sorted(examples, key=list(given).index):
            encoded = features.encode(examples[split], is_labelled=True)
            self.sources[split] = LabelledSource(encoded, is_training=split == "train")

    def task_arguments(self) -> dict[str, Any]:
        """Gives what the task has to know of the data, such as its classes."""
        names = self.features.label_names
        return self.features.task_arguments() | ({} if names is None else {"label_names": names})

    def facts(self) -> dict[str, str]:
        """Tells of the rows of every split."""
        described = []
        for split, source in self.sources.items():
            assert isinstance(source, LabelledSource)
            num_rows, num_cut = len(source.rows.examples), source.rows.num_truncated
            num_sequences = len(source.rows.owners)
            unlabelled = self.num_unlabelled.get(split, 0)
            notes = [f"{num_cut:,} cut"]
            notes += [f"{num_sequences:,} sequences"] if num_sequences > num_rows else []
            notes += [f"{unlabelled:,} left out for want of a label"] if unlabelled else []
            described.append(f"{num_rows:,} in {split} ({', '.join(notes)})")
        facts = {"rows": ", ".join(described)}
        names = self.features.label_names
        if names is not None:
            more = f" and {len(names) - 12} more" if len(names) > 12 else ""
            facts["labels"] = ", ".join(names[:12]) + more
        return facts

    def _examples(self, split: str, rows: Rows, check: bool = False) -> list[ExampleT]:
        examples, self.num_unlabelled[split] = read_examples(self.features, rows, check)
        return examples


def read_examples(
    features: Features[ExampleT], rows: Rows, check: bool
) -> tuple[list[ExampleT], int]:
    """Reads a split's rows.

    Args:
        features: How rows are read.
        rows: The rows.
        check: Whether labels must be those of the training rows.

    Returns:
        The examples, and how many rows were left out because they have no label.

    Raises:
        DataError: It names the file, and the row or column that cannot be used.
    """
    _check_columns(features, rows)
    examples, num_unlabelled = [], 0
    for number, (row_name, row) in enumerate(rows):
        try:
            example = features.example(row, number, is_labelled=True)
            if example is None:
                num_unlabelled += 1
                continue
            if check:
                features.check_labels(example)
        except RowError as error:
            raise DataError(f"{row_name}: {error}") from error
        examples.append(example)
    if not examples:
        raise DataError(
            f"{rows.name}: none of its {num_unlabelled} rows has a label in "
            f"{', '.join(features.label_columns)}"
        )
    return examples, num_unlabelled


def open_tokenizer(tokenizer: str | Tokenizer | None) -> Tokenizer:
    """Gives the tokenizer that a configuration means.

    Raises:
        ConfigError: There is none.
        DataError: The file holds none.
    """
    if tokenizer is None:
        raise ConfigError(
            "data.tokenizer is null: give a tokenizer.json or vocab.txt, or encoder.pretrained "
            "to take the pretrained encoder's"
        )
    return tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(Path(tokenizer))


def hold_out(
    examples: Sequence[ExampleT],
    strata: Sequence[str],
    groups: Sequence[Hashable],
    fraction: float,
    seed: int,
) -> tuple[list[ExampleT], list[ExampleT]]:
    """Cuts a share of every stratum off, drawn by the seed; a group stays together.

    Returns:
        The examples that stay and those held out, both in their old order.

    Raises:
        DataError: A share is empty.
    """
    first_of_group: dict[Hashable, int] = {}
    firsts = [first_of_group.setdefault(group, place) for place, group in enumerate(groups)]
    draws = rng.uniform(seed, rng.Stream.HELD_OUT_ROWS, np.array(firsts, np.int64))
    names = np.array(strata)
    is_held_out = np.zeros(len(examples), bool)
    for name in np.unique(names):
        of_stratum = np.flatnonzero(names == name)
        count = round(fraction * len(of_stratum))
        if count:
            # All of a group have one draw, so the last that is taken brings its group along.
            last = np.sort(draws[of_stratum])[count - 1]
            is_held_out[of_stratum[draws[of_stratum] <= last]] = True
    if not is_held_out.any() or is_held_out.all():
        raise DataError(
            f"validation_fraction={fraction} of {len(examples)} rows leaves no rows for one of the "
            "two splits"
        )
    stay = [example for example, out in zip(examples, is_held_out, strict=True) if not out]
    return stay, [example for example, out in zip(examples, is_held_out, strict=True) if out]


def _check_columns(features: Features[Any], rows: Rows) -> None:
    for column in (*features.input_columns, *features.label_columns):
        if column not in rows.columns:
            present = ", ".join(rows.columns)
            raise DataError(f"{rows.name}: there is no column {column!r}; there are {present}")


def _hash(examples: Sequence[Any]) -> str:
    """Gives what names the rows: a hash of their content and order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr(astuple(example)).encode())
    return digest.hexdigest()


def columns_of(arguments: Mapping[str, Any], features: type[Features[Any]]) -> dict[str, Any]:
    """Picks the arguments of a task's features out of those of its DataModule."""
    known = signature(features).parameters.keys() - {"tokenizer"}
    return {key: value for key, value in arguments.items() if key in known}
