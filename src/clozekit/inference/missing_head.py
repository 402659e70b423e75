"""Says why a model predicts nothing."""

from clozekit.interop.pretrained import Pretrained
from clozekit.interop.sentence_transformers import unsupported
from clozekit.output.display import printable

MOST_NAMES = 4
"""The number of tensors that are named."""


def no_head(pretrained: Pretrained) -> str:
    """Returns the message for a model that `make_predictor` makes no predictor of."""
    message = f"{pretrained.path}: only an encoder, without a head to predict with"
    if pretrained.embedding is not None:
        return f"{message}: {unsupported(pretrained.embedding)}"
    if not (unused := pretrained.unused):
        return message
    more = len(unused) - MOST_NAMES
    names = ", ".join(unused[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    given = printable(", ".join(pretrained.architectures)) or "null"
    return (
        f"{message}: architectures={given} in its config.json is no class with a head that is "
        f"read, so {names} are not used"
    )
