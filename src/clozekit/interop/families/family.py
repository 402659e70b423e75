"""What differs between the families of published encoders."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.head_names import HEADS_OF_SEQUENCES

Names: TypeAlias = dict[str, tuple[str, ...]]

COMMON_HEADS: Mapping[str, frozenset[str]] = {
    "ForMaskedLM": frozenset({"masked_lm_head"}),
    "ForSequenceClassification": frozenset({"classification_head"}),
    "ForTokenClassification": frozenset({"token_classification_head"}),
    "ForQuestionAnswering": frozenset({"question_answering_head"}),
    "ForMultipleChoice": frozenset({"multiple_choice_head"}),
}
"""The heads of the classes that all families have, by the end of the class's name."""


@dataclass(frozen=True)
class Family:
    """The names and the configuration of a family of encoders in transformers.

    Attributes:
        model_type: The `model_type` of `config.json`.
        name: The beginning of the names of its classes, such as `Bert`.
        prefix: The beginning of the names of the encoder's tensors in a model with heads.
        parts: The beginnings of the names of an encoder's tensors without that prefix.
        block: Finds the number of a block in the name of a tensor.
        heads_of_class: The heads of each class, by the end of the class's name, such as
            `ForMaskedLM`.
        has_pooler: Whether the class without heads has a pooler.
        pretraining_heads: The heads that a folder may have if `architectures` names no task.
        names: Returns the names in transformers of each tensor of clozekit, for a configuration and
            the names of heads. Several names are of tensors whose rows are concatenated.
        read_config: Reads the content of a `config.json`, which is in the file.
        write_config: Returns the keys of `config.json` for an encoder.
        has_parts_of: Whether the family has the parts of an encoder.
        tied: Names of copies of tensors, and of their originals.
        buffers: Names of constants that older versions of transformers saved.
        renamed: Ends of old names, and of their current names.
        dropout_keys: The keys of `config.json` for the dropout of heads.
    """

    model_type: str
    name: str
    prefix: str
    parts: tuple[str, ...]
    block: re.Pattern[str]
    heads_of_class: Mapping[str, frozenset[str]]
    has_pooler: bool
    pretraining_heads: frozenset[str]
    names: Callable[[EncoderConfig, frozenset[str]], Names]
    read_config: Callable[[Mapping[str, Any], Path], EncoderConfig]
    write_config: Callable[[EncoderConfig], dict[str, Any]]
    has_parts_of: Callable[[EncoderConfig], bool]
    tied: tuple[tuple[str, str], ...] = ()
    buffers: frozenset[str] = frozenset()
    renamed: tuple[tuple[str, str], ...] = ()
    dropout_keys: tuple[str, ...] = ("classifier_dropout",)

    @property
    def base_class(self) -> str:
        """The class without heads."""
        return f"{self.name}Model"

    @property
    def heads_of_architecture(self) -> dict[str, frozenset[str]]:
        """The heads of each class, by its full name."""
        classes = {f"{self.name}{end}": heads for end, heads in self.heads_of_class.items()}
        return {**classes, self.base_class: frozenset()}

    def task_head(self, architecture: str) -> str | None:
        """Returns the head of a class for a fine-tuning task; None for another class."""
        heads = self.heads_of_architecture.get(architecture, frozenset())
        return next(iter(heads - {"masked_lm_head", "next_sentence_head"}), None)

    def keeps_pooler(self, architecture: str) -> bool:
        """Whether the encoder of a class has a pooler."""
        heads = self.heads_of_architecture[architecture]
        return bool(heads & HEADS_OF_SEQUENCES) if heads else self.has_pooler

    def canonical_name(self, name: str) -> str:
        """Returns the current name of a tensor in a class with heads."""
        for old, new in self.renamed:
            if name.endswith(old):
                name = name.removesuffix(old) + new
        return f"{self.prefix}{name}" if name.startswith(self.parts) else name
