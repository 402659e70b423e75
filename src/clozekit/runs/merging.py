"""The mean of the weights of several checkpoints (Izmailov et al., 2018; Wortsman et al., 2022)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clozekit.config import reading
from clozekit.config.stored.plain import shown
from clozekit.errors import DataError
from clozekit.interop.pretrained import check_finite
from clozekit.output.display import warn
from clozekit.runs.checkpoint_file import Checkpoint

_MAY_DIFFER = ("pretrained", "hidden_dropout_prob", "attention_probs_dropout_prob")
"""The keys of the encoder that do not change what its weights mean."""

_OF_TRAINING = ("classifier_dropout", "class_weights", "label_smoothing", "temperature")
_OF_DECODING = ("n_best", "max_answer_length", "no_answer_threshold")
"""The keys of tasks that do not change what the outputs mean. Those of classes of one's own may."""

_OF_ROWS = frozenset(
    name
    for each in vars(reading).values()
    if isinstance(each, type) and issubclass(each, reading.Reading)
    for name in each.model_fields
)
"""The keys by which the tasks read rows."""

_OF_KINDS_OF_ROWS = ("text_pair_column", "question_column")
"""Columns that make rows of another kind if they are not null."""

_PAIR_OBJECTIVE = "pair_objective"
"""What the pair head says: next sentences or the order of sentences."""

_MASKED_LM = "clozekit.tasks.masked_lm.MaskedLMModule"
"""It has no pair head, although its data may have pairs."""


def check_alike(checkpoints: Sequence[Checkpoint]) -> None:
    """Checks that checkpoints are different files of the same kind of model.

    Raises:
        DataError: They are not; the message names the file and the difference.
    """
    first = checkpoints[0]
    seen = set()
    for checkpoint in checkpoints:
        file = checkpoint.path.resolve()
        if file in seen:
            raise DataError(f"checkpoints: {checkpoint.path} is given twice")
        seen.add(file)
    for other in checkpoints[1:]:
        for difference in _differences(first, other):
            raise DataError(
                f"checkpoints: {other.path} cannot be merged with {first.path}: {difference}"
            )


def check_reading(checkpoints: Sequence[Checkpoint]) -> None:
    """Warns of settings by which the checkpoints' tasks read rows differently.

    The result has those of the first. Rows of another kind, such as pairs, are refused before.
    """
    first = checkpoints[0]
    for other in checkpoints[1:]:
        ours, theirs = (
            {k: v for k, v in each.group("data").items() if k in _OF_ROWS}
            for each in (first, other)
        )
        if differences := list(_differing_keys("data", ours, theirs)):
            warn(
                f"checkpoints: of {other.path}, {', '.join(differences)}; the merged model reads "
                f"rows like {first.path}, which is given first"
            )


def averaged(checkpoints: Sequence[Checkpoint], weights: Sequence[float]) -> dict[str, Tensor]:
    """Returns the weighted mean of the weights of checkpoints that are alike.

    Sums are computed in float64; each tensor keeps its dtype. A tensor that is not floating-point
    has to be the same in all checkpoints.

    Args:
        checkpoints: The checkpoints.
        weights: The weight of each; they are divided by their sum.

    Raises:
        DataError: A weight is not finite, or tensors of integers differ.
    """
    shares = shares_of(weights)
    return {name: _mean(name, checkpoints, shares) for name in checkpoints[0].state_dict}


def shares_of(weights: Sequence[float]) -> list[float]:
    """Divides positive weights by their sum, which may be larger than the largest float."""
    # Powers of two are exact.
    exponent = math.frexp(max(weights))[1]
    scaled = [math.ldexp(weight, -exponent) for weight in weights]
    total = math.fsum(scaled)
    return [weight / total for weight in scaled]


def _mean(name: str, checkpoints: Sequence[Checkpoint], shares: Sequence[float]) -> Tensor:
    first = checkpoints[0].state_dict[name]
    if not first.is_floating_point():
        for other in checkpoints[1:]:
            if not torch.equal(first, other.state_dict[name]):
                raise DataError(f"checkpoints: {other.path} has other values of {name}")
        return first.clone()
    total = torch.zeros(first.shape, dtype=torch.float64)
    for checkpoint, share in zip(checkpoints, shares, strict=True):
        tensor = checkpoint.state_dict[name]
        check_finite(tensor, name, f"checkpoints: {checkpoint.path}")
        total += share * tensor.to(torch.float64)
    return total.to(first.dtype)


def _differences(first: Checkpoint, other: Checkpoint) -> Iterator[str]:
    for group in ("task", "encoder"):
        ours, theirs = (each.group(group)["_target_"] for each in (first, other))
        if ours != theirs:
            yield f"{group}._target_ is {theirs}, not {ours}"
    for group, may_differ in (("encoder", _MAY_DIFFER), ("task", (*_OF_TRAINING, *_OF_DECODING))):
        yield from _differing_keys(group, first.group(group), other.group(group), may_differ)
    yield from _differing_objectives(first, other)
    yield from _differing_keys("data", _kind_of_rows(first), _kind_of_rows(other))
    if first.tokenizer_json != other.tokenizer_json:
        yield "it has another tokenizer"
    for key in sorted(first.task_arguments.keys() | other.task_arguments.keys()):
        if first.task_arguments.get(key) != other.task_arguments.get(key):
            yield f"its task has another {key}"
    for name in sorted(first.state_dict.keys() | other.state_dict.keys()):
        ours, theirs = (each.state_dict.get(name) for each in (first, other))
        if ours is None or theirs is None:
            yield f"{name} is in only one of them"
        elif ours.shape != theirs.shape:
            yield f"{name} has the shape {list(theirs.shape)}, not {list(ours.shape)}"
        elif ours.dtype != theirs.dtype:
            yield f"{name} is {theirs.dtype}, not {ours.dtype}"


def _differing_objectives(first: Checkpoint, other: Checkpoint) -> Iterator[str]:
    if first.group("task")["_target_"] == _MASKED_LM:
        return
    ours, theirs = (
        # Checkpoints of before there was sentence order do not say it.
        {_PAIR_OBJECTIVE: each.group("data").get(_PAIR_OBJECTIVE, "next_sentence")}
        for each in (first, other)
    )
    yield from _differing_keys("data", ours, theirs)


def _kind_of_rows(checkpoint: Checkpoint) -> dict[str, Any]:
    data = checkpoint.group("data")
    columns = {key: "a column" for key in _OF_KINDS_OF_ROWS if data.get(key) is not None}
    return {**columns, "multi_label": data.get("multi_label", False)}


def _differing_keys(
    group: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], may_differ: Sequence[str] = ()
) -> Iterator[str]:
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in may_differ and ours.get(key) != theirs.get(key):
            yield f"{group}.{key} is {shown(theirs.get(key))}, not {shown(ours.get(key))}"
