"""The base DataModule of all fine-tuning tasks: files, splits and their rows."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np
from tokenizers import Tokenizer

from clozekit import rng
from clozekit.config.data import LabelledDataConfig
from clozekit.corpus.vocabulary import load_tokenizer
from clozekit.data.files.rows import Rows
from clozekit.data.labelled.features import ExampleT, Features, RowError
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError, DataError
from clozekit.files import sha256_of


class LabelledDataModule(StreamDataModule, Generic[ExampleT]):
    """Labelled rows. Subclasses set the `Features` class that reads them.

    Its options are declared in `config_class`. In Python, `tokenizer` may be a tokenizer object.

    Attributes:
        features: Reads and encodes the rows.
        num_unlabelled: For each split, the number of rows skipped because they have no label.
        num_empty: For each split, the number of rows with an empty text.

    Raises:
        DataError: A file cannot be used, or has a class that does not occur in the training rows.
        ConfigError: No tokenizer is given.
    """

    config_class: ClassVar[type[LabelledDataConfig]]
    features_class: ClassVar[type[Features[Any]]]
    config: LabelledDataConfig

    def __init__(self, **options: Any) -> None:
        tokenizer = options.get("tokenizer")
        is_object = isinstance(tokenizer, Tokenizer)
        # The config schema accepts a path only.
        super().__init__(**{**options, "tokenizer": None} if is_object else options)
        config = self.config
        features: Features[ExampleT] = self.features_class(
            open_tokenizer(tokenizer if is_object else config.tokenizer),
            **columns_of(dict(config), self.features_class),
        )
        self.features = features
        self.tokenizer = features.tokenizer
        self.num_unlabelled: dict[str, int] = {}
        self.num_empty: dict[str, int] = {}
        given = {"train": config.train, "validation": config.validation, "test": config.test}
        rows = {
            split: features.read_rows(source)
            if config.path is None
            else features.read_split(config.path, config.name, source)
            for split, source in given.items()
            if source is not None
        }
        examples = {"train": self._examples("train", rows["train"])}
        features.learn_labels(examples["train"], rows["train"].class_names)
        names = features.label_names
        if names is not None and len(names) < 2:
            raise DataError(
                f"{rows['train'].name} has {len(names)} different labels ({', '.join(names)}) but "
                "needs two or more"
            )
        for split in rows.keys() - {"train"}:
            examples[split] = self._examples(split, rows[split], check=True)
        if config.validation is None:
            every = examples["train"]
            examples["train"], examples["validation"] = hold_out(
                every,
                features.strata(every),
                features.groups(every),
                config.validation_fraction,
                config.seed,
            )
        self.data_hash = _hash(examples["train"])
        for split in sorted(examples, key=list(given).index):
            self.num_empty[split] = sum(map(features.has_empty_text, examples[split]))
            encoded = features.encode(examples[split], is_labelled=True)
            self.sources[split] = LabelledSource(encoded, is_training=split == "train")

    def task_arguments(self) -> dict[str, Any]:
        """Returns arguments of the task's constructor that depend on the data, such as classes."""
        names = self.features.label_names
        return self.features.task_arguments() | ({} if names is None else {"label_names": names})

    def facts(self) -> dict[str, str]:
        """Describes the rows of each split and the labels."""
        described = []
        for split, source in self.sources.items():
            assert isinstance(source, LabelledSource)
            num_rows, num_cut = len(source.rows.examples), source.rows.num_truncated
            num_sequences = len(source.rows.owners)
            unlabelled = self.num_unlabelled.get(split, 0)
            notes = [f"{num_cut:,} truncated"]
            notes += [f"{num_sequences:,} sequences"] if num_sequences > num_rows else []
            notes += [f"{unlabelled:,} without labels skipped"] if unlabelled else []
            num_empty = self.num_empty.get(split, 0)
            notes += [f"{num_empty:,} with empty text"] if num_empty else []
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
        features: Reads the rows.
        rows: The rows.
        check: Whether labels must occur in the training rows.

    Returns:
        The examples, and the number of rows skipped because they have no label.

    Raises:
        DataError: A row or column cannot be used; the message has its name and the file.
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
            f"{rows.name}: all {num_unlabelled} rows are without labels in "
            f"{', '.join(features.label_columns)}"
        )
    return examples, num_unlabelled


def open_tokenizer(tokenizer: str | Tokenizer | None) -> Tokenizer:
    """Opens the tokenizer of a configuration.

    Raises:
        ConfigError: No tokenizer is given.
        DataError: The file is not a tokenizer.
    """
    if tokenizer is None:
        raise ConfigError(
            "data.tokenizer is null; set it to a tokenizer.json or vocab.txt, or set "
            "encoder.pretrained to use the pretrained encoder's tokenizer"
        )
    return tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(Path(tokenizer))


def hold_out(
    examples: Sequence[ExampleT],
    strata: Sequence[str],
    groups: Sequence[Hashable],
    fraction: float,
    seed: int,
) -> tuple[list[ExampleT], list[ExampleT]]:
    """Holds out a random fraction of each stratum, drawn with the seed. Groups are not split.

    Returns:
        The remaining examples and the held-out examples, both in their original order.

    Raises:
        DataError: One of the two is empty.
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
            # All examples of a group have the same draw, so comparing with the last draw that is
            # taken includes its whole group.
            last = np.sort(draws[of_stratum])[count - 1]
            is_held_out[of_stratum[draws[of_stratum] <= last]] = True
    if not is_held_out.any() or is_held_out.all():
        raise DataError(
            f"data.validation_fraction={fraction} of {len(examples)} rows leaves no rows for "
            "training or for validation"
        )
    stay = [example for example, out in zip(examples, is_held_out, strict=True) if not out]
    return stay, [example for example, out in zip(examples, is_held_out, strict=True) if out]


def _check_columns(features: Features[Any], rows: Rows) -> None:
    for column in (*features.input_columns, *features.label_columns):
        if column not in rows.columns:
            present = ", ".join(rows.columns)
            raise DataError(f"{rows.name} has no column {column!r}; it has {present}")


def _hash(examples: Sequence[Any]) -> str:
    """Hashes the content and order of the rows."""
    return sha256_of(repr(astuple(example)).encode() for example in examples)


def columns_of(arguments: Mapping[str, Any], features: type[Features[Any]]) -> dict[str, Any]:
    """Selects the options of a task's features from those of its DataModule."""
    known = features.config_class.model_fields
    return {key: value for key, value in arguments.items() if key in known}
