"""Loads `encoder.pretrained`: a clozekit checkpoint or a model in the format of transformers."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from tokenizers import Tokenizer

from clozekit.config.composition.messages import of_validation
from clozekit.config.encoder import EncoderConfig
from clozekit.config.stored.plain import shown
from clozekit.documents import is_text
from clozekit.errors import ConfigError, DataError
from clozekit.interop.new_pieces import with_new_pieces
from clozekit.interop.pretrained import Pretrained, check_finite
from clozekit.interop.sizes import check_sizes
from clozekit.interop.transformers import load_transformers
from clozekit.output.display import printable, say
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint
from clozekit.runs.folder import is_first_process

REGRESSION = "clozekit.tasks.regression.RegressionModule"

# A text that shows differences between normalizers: case, accents, Chinese, control characters.
_PROBE = "Aa Éé Ǆ ﬁ 中文 \t\x01 ΑΣ İ"


def load_pretrained(
    source: str, trusted_modules: Sequence[str] = (), needs_task_head: bool = True
) -> Pretrained:
    """Loads a pretrained model. Nothing in it is executed.

    Args:
        source: A run's folder, a clozekit checkpoint, a folder in the format of transformers, or
            the name of a model on the Hugging Face hub.
        trusted_modules: The modules whose classes the model may use.
        needs_task_head: Whether to read the task head of a folder in the format of transformers.

    Raises:
        DataError: The model does not exist or cannot be read.
    """
    path = Path(source)
    try:
        is_ours = path.is_file() or (path / "checkpoints").is_dir()
    except OSError as error:  # such as a name that is too long
        raise DataError(f"{shown(source)} cannot be read ({error.strerror})") from error
    if is_ours:
        return from_checkpoint(load_checkpoint(path), trusted_modules)
    return load_transformers(source, needs_task_head)


def from_checkpoint(checkpoint: Checkpoint, trusted_modules: Sequence[str] = ()) -> Pretrained:
    """Makes a pretrained model from a checkpoint.

    Raises:
        DataError: A part of the checkpoint is damaged, or a weight is not finite.
    """
    for name, tensor in checkpoint.state_dict.items():
        check_finite(tensor, name, checkpoint.path)
    arguments = checkpoint.task_arguments
    problem_type = "multi_label_classification" if arguments.get("multi_label") else None
    task = checkpoint.group("task")
    if task["_target_"] == REGRESSION:
        problem_type = "regression"
    label_names = checkpoint.label_names
    if label_names is not None and not _are_names(label_names):
        raise DataError(
            f"{checkpoint.path} is damaged: its label_names are not a list of different texts"
        )
    encoder = _encoder_config(checkpoint)
    weights = checkpoint.weights("model.")
    if encoder.is_own:
        check_sizes(encoder, weights, checkpoint.path)
    tokenizer = checkpoint.tokenizer
    _check_ids(tokenizer, encoder, checkpoint.path)
    return Pretrained(
        path=checkpoint.path,
        encoder=encoder,
        weights=weights,
        tokenizer=tokenizer,
        label_names=label_names,
        problem_type=problem_type,
        task=task,
        task_arguments=arguments,
        data=checkpoint.group("data"),
        data_hash=checkpoint.data_hash,
        trusted_modules=tuple(trusted_modules),
    )


def _encoder_config(checkpoint: Checkpoint) -> EncoderConfig:
    try:
        encoder = EncoderConfig.model_validate(checkpoint.group("encoder"))
    except ValidationError as error:
        problem = printable(of_validation(error).replace("\n", "; "))
        raise DataError(f"{checkpoint.path} is damaged: its encoder: {problem}") from error
    if encoder.vocab_size is None:
        raise DataError(f"{checkpoint.path} is damaged: encoder.vocab_size is missing")
    return encoder


def _check_ids(tokenizer: Tokenizer, encoder: EncoderConfig, file: Path) -> None:
    largest = max(tokenizer.get_vocab().values())
    assert encoder.vocab_size is not None
    if largest >= encoder.vocab_size:
        raise DataError(
            f"{file} is damaged: its tokenizer has the id {largest}, but encoder.vocab_size="
            f"{encoder.vocab_size}"
        )


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value)) and (len(set(value)) == len(value))


def extend_pretrained(pretrained: Pretrained, data: Tokenizer) -> Pretrained:
    """Gives a pretrained model rows for the pieces that the data's tokenizer has in addition.

    A model is returned as it is if the tokenizers are the same, or if the data's does not have all
    tokens of the model's, which `check_tokenizers_agree` refuses.
    """
    theirs = pretrained.tokenizer
    if theirs is None:
        return pretrained
    before, now = theirs.get_vocab(), data.get_vocab()
    added = len(now) - len(before)
    if not added or any(now.get(token) != token_id for token, token_id in before.items()):
        return pretrained
    if is_first_process():
        say(
            f"{added:,} pieces are new to {pretrained.path}: each starts with the mean of the "
            "embeddings of its old pieces"
        )
    return with_new_pieces(pretrained, data)


def check_tokenizers_agree(
    data: Tokenizer, pretrained: Pretrained, key: str = "encoder.pretrained"
) -> None:
    """Checks that the data and the pretrained encoder use the same tokenizer.

    Args:
        data: The tokenizer of the data.
        pretrained: The model.
        key: The key that names the model, for the message.

    Raises:
        ConfigError: The vocabularies or the normalizers differ.
    """
    theirs = pretrained.tokenizer
    if theirs is None:
        return
    before, now = theirs.get_vocab(), data.get_vocab()
    if before != now:
        differing = sorted(t for t in before.keys() | now.keys() if before.get(t) != now.get(t))
        raise ConfigError(
            f"{key}={pretrained.path} has another vocabulary than the data: "
            f"{len(differing)} tokens differ, such as {differing[0]!r}; prepare the corpus with "
            "tokenizer=existing and tokenizer.path set to the tokenizer of the pretrained model"
        )
    if _normalized(theirs) != _normalized(data):
        raise ConfigError(
            f"{key}={pretrained.path} normalizes text differently than the data's "
            f"tokenizer: {_PROBE!r} becomes {_normalized(theirs)!r} instead of "
            f"{_normalized(data)!r}"
        )


def _normalized(tokenizer: Tokenizer) -> str:
    normalizer = tokenizer.normalizer
    return _PROBE if normalizer is None else str(normalizer.normalize_str(_PROBE))
