"""What the `config.json` of transformers says of the classes of a head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clozekit.documents import is_text
from clozekit.errors import DataError

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
"""Values of `problem_type` in transformers."""


def label_names_of(config: Mapping[str, Any], file: Path, weight: Tensor | None) -> list[str]:
    """Returns the names of the classes.

    Names such as LABEL_0 are not given by anyone, and old folders have two of them for any number
    of classes. Their number is then that of the head's outputs.

    Args:
        config: The content of `config.json`.
        file: That file, for messages.
        weight: `[classes, …]`. The weight of the head's last layer; None if it is missing.

    Raises:
        DataError: They are not different texts, one for each number.
    """
    names = config.get("id2label") or {}
    if not isinstance(names, dict) or not all(map(is_text, names.values())):
        raise DataError(f"{file}: id2label={names}; it should map numbers to names")
    if any(str(i) not in names for i in range(len(names))):
        raise DataError(f"{file}: the keys of id2label must be 0 to {len(names) - 1}")
    in_order = [names[str(i)] for i in range(len(names))]
    places: dict[str, int] = {}
    for number, name in enumerate(in_order):
        if (first := places.setdefault(name, number)) != number:
            raise DataError(
                f"{file}: id2label gives {first} and {number} the same name, {name!r}; each class "
                "needs a name of its own"
            )
    if in_order != [f"LABEL_{i}" for i in range(len(names))]:
        return in_order
    number = (len(names) or 2) if weight is None or not weight.ndim else len(weight)
    return [f"LABEL_{i}" for i in range(number)]


def problem_type_of(config: Mapping[str, Any], num_labels: int, file: Path) -> str | None:
    """Returns the purpose of a head for classification, if it is known.

    Raises:
        DataError: It is unknown, or does not fit the number of classes.
    """
    given = config.get("problem_type")
    if given is None:
        # As transformers does.
        return "regression" if num_labels == 1 else None
    if not isinstance(given, str) or given not in PROBLEM_TYPES:
        raise DataError(f"{file}: problem_type={given}; allowed are {', '.join(PROBLEM_TYPES)}")
    if given == "regression" and num_labels != 1:
        raise DataError(
            f"{file}: problem_type=regression with {num_labels} labels; only one is supported"
        )
    return str(given)
