"""Reads models of transformers from a folder or from the Hugging Face hub."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.corpus.tokenizers.segments import names_segments, without_segments
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.documents import read_json
from clozekit.errors import DataError
from clozekit.interop.classes import label_names_of, problem_type_of
from clozekit.interop.families import family_of_config, family_of_encoder
from clozekit.interop.families.family import Family
from clozekit.interop.families.reading import refuse_other_values
from clozekit.interop.foreign_files import refuse_foreign_folder
from clozekit.interop.head_names import HEADS_WITH_LABELS, shapes
from clozekit.interop.model_folder import (
    download,
    encoder_folder,
    read_tensors,
    read_tokenizer,
)
from clozekit.interop.pretrained import Pretrained, check_finite
from clozekit.interop.sentence_transformers import read_settings
from clozekit.interop.sizes import count_blocks

# Each of these may be missing as a whole in a folder without a task head.
_OPTIONAL = ("encoder.pooler.", "masked_lm_head.", "next_sentence_head.")


def load_transformers(source: str | Path, needs_task_head: bool = True) -> Pretrained:
    """Reads a model of transformers or sentence-transformers. Nothing in it is executed.

    Args:
        source: A folder with `config.json`, `model.safetensors` or `pytorch_model.bin` (or their
            shards and index), and `tokenizer.json` or `vocab.txt`; or the name of such a model on
            the hub.
        needs_task_head: Whether to read the task head that `architectures` names.

    Returns:
        The model, with the task head that `architectures` names, or otherwise with the pretraining
        heads that the folder has. Tensors outside the encoder that are not known are in `unused`.

    Raises:
        DataError: A file is missing or damaged, or the model is not of a known family.
    """
    path = Path(source)
    if not path.is_dir():
        # It may be the prefix of the files of a TensorFlow checkpoint.
        refuse_foreign_folder(path)
    root = path if path.is_dir() else download(str(source))
    folder = encoder_folder(root)
    config_file = folder / "config.json"
    if not config_file.is_file():
        refuse_foreign_folder(folder)
        raise DataError(f"{config_file} does not exist")
    config = read_json(config_file)
    if not isinstance(config, dict):
        raise DataError(f"{config_file} is not a JSON object")
    family = family_of_config(config, config_file)
    _refuse_generators(config, config_file)
    encoder = family.read_config(config, config_file)
    if family_of_encoder(encoder) is not family:
        # Another family has the same parts, and would be written instead.
        encoder = encoder.model_copy(update={"model_type": family.model_type})
    tensors = _canonical(read_tensors(folder), family, folder)
    tokenizer = read_tokenizer(folder)
    if tokenizer is not None:
        _check_tokenizer(tokenizer, encoder, config, folder)
        if encoder.type_vocab_size > 1 and not names_segments(folder):
            tokenizer = without_segments(tokenizer)
    architectures = _architectures(config, config_file)
    task_head = next(filter(None, map(family.task_head, architectures)), None)
    head = task_head if needs_task_head else None
    label_names: list[str] = []
    if head in HEADS_WITH_LABELS:
        (last,) = family.names(encoder, frozenset({head}))[f"{head}.classifier.weight"]
        label_names = label_names_of(config, config_file, tensors.get(last))
    is_classifier = head == "classification_head"
    problem_type = problem_type_of(config, len(label_names), config_file) if is_classifier else None
    heads = _pretraining_heads(tensors, family, encoder, task_head) if head is None else {head}
    weights, unused = _to_ours(
        tensors, family, encoder, frozenset(heads), head is None, len(label_names), folder
    )
    if "masked_lm_head.bias" in weights:
        refuse_other_values(config, config_file, tie_word_embeddings=True)
    names = None if problem_type == "regression" else label_names or None
    embedding = read_settings(root) if head is None else None
    return Pretrained(
        folder,
        encoder,
        weights,
        tokenizer,
        names,
        unused,
        problem_type,
        embedding=embedding,
        architectures=tuple(architectures),
    )


def _refuse_generators(config: Mapping[str, Any], file: Path) -> None:
    for architecture in _architectures(config, file):
        if architecture.startswith("BertGeneration"):
            raise DataError(
                f"{file}: architectures={architecture}; only BertModel and BertFor… with the "
                "encoder of BERT are supported"
            )


def _canonical(tensors: Mapping[str, Tensor], family: Family, folder: Path) -> dict[str, Tensor]:
    """Renames tensors to current names, in float32, without buffers and tied copies."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = family.canonical_name(name)
        if new in renamed:
            raise DataError(f"{folder}: the weights have {new} twice, once as {name}")
        if new in family.buffers:
            continue
        if not tensor.is_floating_point():
            raise DataError(f"{folder}: {name} has dtype {tensor.dtype}; it must be floating-point")
        renamed[new] = tensor.float()
    for copy, original in family.tied:
        if copy in renamed:
            value = renamed.pop(copy)
            if not torch.equal(value, renamed.setdefault(original, value)):
                raise DataError(
                    f"{folder}: {copy} differs from {original}; only a tied decoder is supported"
                )
    return renamed


def _to_ours(
    tensors: Mapping[str, Tensor],
    family: Family,
    encoder: EncoderConfig,
    heads: frozenset[str],
    are_optional: bool,
    num_labels: int,
    folder: Path,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Renames tensors to the names of clozekit and checks their shapes.

    Args:
        tensors: The tensors by their names in transformers.
        family: The family.
        encoder: The encoder's configuration.
        heads: The heads to read.
        are_optional: Whether these heads and the pooler may be missing.
        num_labels: The number of labels of the head.
        folder: The folder, for messages.

    Returns:
        The renamed weights, and the names of unused tensors.
    """
    _check_blocks(tensors, family, encoder, folder)
    has_pooler = True if are_optional and family.has_pooler else None
    expected = shapes(heads, encoder, num_labels, has_pooler)
    optional = _OPTIONAL if are_optional else ()
    weights: dict[str, Tensor] = {}
    used: set[str] = set()
    for ours, parts in family.names(encoder, heads).items():
        if ours not in expected:
            continue
        absent = [part for part in parts if part not in tensors]
        if absent and not ours.startswith(optional):
            raise DataError(f"{folder}: missing in the weights: {', '.join(absent)}")
        if absent:
            continue
        first, *rest = expected[ours]
        for part in parts:
            _check_shape(tensors[part], (first // len(parts), *rest), part, folder)
            check_finite(tensors[part], part, folder)
        used.update(parts)
        weights[ours] = torch.cat([tensors[p] for p in parts]) if parts[1:] else tensors[parts[0]]
    _check_parts_are_whole(weights, expected, folder)
    left = sorted(tensors.keys() - used)
    # A pooler is part of the encoder, but not of every task.
    pooler = f"{family.prefix}pooler."
    unknown = [n for n in left if n.startswith(family.prefix) and not n.startswith(pooler)]
    if unknown:
        raise DataError(
            f"{folder}: unexpected in the weights of {family.model_type} with num_hidden_layers="
            f"{encoder.num_hidden_layers}: {_listed(unknown)}"
        )
    return weights, tuple(left)


def _pretraining_heads(
    tensors: Mapping[str, Tensor], family: Family, encoder: EncoderConfig, task_head: str | None
) -> frozenset[str]:
    """Returns the pretraining heads that a folder may have.

    In a folder of a task, a layer of the task's head may have the name of one of masked words.
    """
    heads = family.pretraining_heads
    if task_head is None:
        return heads
    names = family.names(encoder, heads)
    absent = {
        ours.partition(".")[0]
        for ours in shapes(heads, encoder, 0)
        if not all(part in tensors for part in names[ours])
    }
    return heads - absent


def _check_shape(tensor: Tensor, expected: tuple[int, ...], name: str, folder: Path) -> None:
    if tuple(tensor.shape) != expected:
        raise DataError(
            f"{folder}: {name} has shape {list(tensor.shape)}, but config.json implies "
            f"{list(expected)}"
        )


def _check_parts_are_whole(
    weights: Mapping[str, Tensor], shapes: Iterable[str], folder: Path
) -> None:
    for part in _OPTIONAL:
        needed = {name for name in shapes if name.startswith(part)}
        present = needed & weights.keys()
        if present and present != needed:
            raise DataError(
                f"{folder}: {part.removesuffix('.')} is incomplete, the weights have only "
                f"{_listed(sorted(present))}"
            )


def _check_tokenizer(
    tokenizer: Tokenizer, encoder: EncoderConfig, config: Mapping[str, Any], folder: Path
) -> None:
    largest = max(tokenizer.get_vocab().values())
    assert encoder.vocab_size is not None
    if largest >= encoder.vocab_size:
        raise DataError(
            f"{folder}: the tokenizer has the id {largest}, but config.json has "
            f"vocab_size={encoder.vocab_size}"
        )
    pad = SpecialTokens.from_tokenizer(tokenizer).pad
    if (given := config.get("pad_token_id", pad)) not in (pad, None) and pad is not None:
        if not isinstance(given, int):
            raise DataError(
                f"{folder}: config.json has pad_token_id={given!r}; it should be a whole number, "
                f"{pad} as in the tokenizer"
            )
        raise DataError(
            f"{folder}: config.json has pad_token_id={given}, but that of the tokenizer is {pad}"
        )


def _architectures(config: Mapping[str, Any], file: Path) -> list[str]:
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: architectures={names}; it should be a list of names of classes")
    return names


def _check_blocks(
    tensors: Mapping[str, Tensor], family: Family, encoder: EncoderConfig, folder: Path
) -> None:
    """Checks that there are weights for all blocks, before tensors of that number are made."""
    found, needed = count_blocks(tensors, family.block), encoder.num_hidden_layers
    if found < needed:
        first = _missing_block(family, encoder, found)
        raise DataError(
            f"{folder}: missing in the weights: {first}… and more; "
            f"config.json has num_hidden_layers={needed}, but there are {found}"
        )


def _missing_block(family: Family, encoder: EncoderConfig, number: int) -> str:
    """Returns the beginning of the names of a block's tensors."""
    names = family.names(encoder, frozenset())
    return names[f"encoder.blocks.{number}.attention.output.weight"][0].partition(".output")[0]


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
