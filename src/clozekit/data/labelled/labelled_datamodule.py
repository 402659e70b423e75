"""The base DataModule of all fine-tuning tasks: files, splits and their rows."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic

from tokenizers import Tokenizer

from clozekit.config.data import LabelledDataConfig
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.data.files.rows import Rows
from clozekit.data.labelled.encoded_rows import ExampleT
from clozekit.data.labelled.examples import groups_of, num_empty, strata_of, subset
from clozekit.data.labelled.features import Features, shown_labels
from clozekit.data.labelled.held_out import held_out, num_without_rows
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.row_store import RowStore
from clozekit.data.module import StreamDataModule
from clozekit.environment import return_freed_memory
from clozekit.errors import ConfigError, DataError
from clozekit.files import GradualHash

SPLITS = ("train", "validation", "test")

_HASHED_AT_ONCE = 4096


class LabelledDataModule(StreamDataModule, Generic[ExampleT]):
    """Labelled rows. Subclasses set the `Features` class that reads them.

    Its options are declared in `config_class`. In Python, `tokenizer` may be a tokenizer object.

    Args:
        label_names: The classes of a trained model, in the order of their ids; None to learn them
            from the training rows.
        rows_dir: The folder where the rows of large files are kept, to be found again by later runs
            and other processes; None to encode them anew each time.
        **options: The options.

    Attributes:
        features: Reads and encodes the rows.
        num_unlabelled: For each split, the number of rows skipped because they have no label.
        num_empty: For each split, the number of rows with an empty text.
        num_strata_without_validation: The number of classes of which no row is held out.
        unknown_labels: For each split, how often it has labels that the model does not have.

    Raises:
        DataError: A file cannot be used, or has none of the classes of the training rows.
        ConfigError: No tokenizer is given.
    """

    config_class: ClassVar[type[LabelledDataConfig]]
    features_class: ClassVar[type[Features[Any]]]
    config: LabelledDataConfig

    def __init__(
        self,
        *,
        label_names: Sequence[str] | None = None,
        rows_dir: Path | None = None,
        **options: Any,
    ) -> None:
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
        self.num_strata_without_validation = 0
        features.label_names = None if label_names is None else list(label_names)
        store = RowStore(features, rows_dir)
        rows = self._open_splits()
        examples = self._read_splits(store, rows)
        if config.validation is None:
            self._hold_out_validation(examples)
        self.unknown_labels = {
            split: features.count_unknown(rows[split].name if split in rows else split, found)
            for split, found in examples.items()
            if split != "train"
        }
        self._encode_splits(store, examples)

    def _open_splits(self) -> dict[str, Rows]:
        """Opens the files or the splits of the dataset that are configured."""
        config, features = self.config, self.features
        given = {"train": config.train, "validation": config.validation, "test": config.test}
        return {
            split: features.read_rows(source)
            if config.path is None
            else features.read_split(config.path, config.name, source)
            for split, source in given.items()
            if source is not None
        }

    def _read_splits(
        self, store: RowStore[ExampleT], rows: Mapping[str, Rows]
    ) -> dict[str, Sequence[ExampleT]]:
        """Reads all splits, and the classes from the training rows unless they are given."""
        features = self.features
        is_trained = features.label_names is not None
        examples = {"train": self._examples(store, "train", rows["train"], check=is_trained)}
        if not is_trained:
            features.learn_labels(examples["train"], rows["train"].class_names)
        names = features.label_names
        if names is not None and len(names) < 2 and not is_trained:
            raise DataError(
                f"{rows['train'].name} has {len(names)} different labels ({', '.join(names)}) but "
                "needs two or more"
            )
        for split in rows.keys() - {"train"}:
            examples[split] = self._examples(store, split, rows[split], check=True)
        return examples

    def _hold_out_validation(self, examples: dict[str, Sequence[ExampleT]]) -> None:
        """Moves a share of the training rows to `validation`, stratified by class."""
        config, features, every = self.config, self.features, examples["train"]
        strata, groups = strata_of(every, features), groups_of(every, features)
        is_held_out = held_out(strata, groups, config.validation_fraction, config.seed)
        self.num_strata_without_validation = num_without_rows(strata, is_held_out)
        del strata, groups
        examples["train"] = subset(every, ~is_held_out)
        examples["validation"] = subset(every, is_held_out)
        return_freed_memory()

    def _encode_splits(
        self, store: RowStore[ExampleT], examples: Mapping[str, Sequence[ExampleT]]
    ) -> None:
        """Makes the source of each split, and hashes the training rows meanwhile."""
        content = GradualHash(_contents(examples["train"]))
        for split in (name for name in SPLITS if name in examples):
            self.num_empty[split] = num_empty(examples[split], self.features)
            encoded = store.encode(examples[split], meanwhile=content.advance)
            self.sources[split] = LabelledSource(encoded, is_training=split == "train")
            return_freed_memory()
        self.data_hash = content.finish()

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
            num_sequences = len(source.rows.lengths)
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
            facts["labels"] = shown_labels(names, most=12)
            if alike := _alike(names):
                facts["labels alike"] = (
                    f"{shown_labels(alike)} differ only in white space or in how their characters "
                    "are composed"
                )
        if number := self.num_strata_without_validation:
            facts["labels not in validation"] = f"{number:,}, with too few rows"
        for split, counts in self.unknown_labels.items():
            if counts:
                facts[f"unknown in {split}"] = describe_unknown(counts)
        return facts

    def _examples(
        self, store: RowStore[ExampleT], split: str, rows: Rows, check: bool = False
    ) -> Sequence[ExampleT]:
        source = rows.name if self.config.path is None else None
        examples, self.num_unlabelled[split] = store.read(rows, check, source)
        return examples


def describe_unknown(counts: Mapping[str, int]) -> str:
    """Describes gold labels that the model does not have."""
    shown = [f"{shown_labels([name])} ({count:,})" for name, count in list(counts.items())[:20]]
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    return (
        f"{sum(counts.values()):,} gold labels that the model does not have count as errors: "
        f"{', '.join(shown)}{more}"
    )


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


def _alike(names: Sequence[str]) -> list[str]:
    """Returns the labels that look like another one: only white space or Unicode's form differs."""

    def form(name: str) -> str:
        return unicodedata.normalize("NFC", name).strip()

    counts = Counter(map(form, names))
    return [name for name in names if counts[form(name)] > 1]


def _contents(examples: Sequence[ExampleT]) -> Iterator[bytes]:
    """Yields the content of the rows in their order, some rows at a time."""
    remaining = iter(examples)
    while part := list(islice(remaining, _HASHED_AT_ONCE)):
        names = [field.name for field in fields(part[0])]
        # As `repr(astuple(example))`, without the copies that it makes of the values.
        contents = (repr(tuple(getattr(example, name) for name in names)) for example in part)
        yield "".join(contents).encode()


def columns_of(arguments: Mapping[str, Any], features: type[Features[Any]]) -> dict[str, Any]:
    """Selects the options of a task's features from those of its DataModule."""
    known = features.config_class.model_fields
    return {key: value for key, value in arguments.items() if key in known}
