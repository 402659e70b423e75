"""What `encoder.pretrained` names: a checkpoint of ours, or a model folder of another library."""

from pathlib import Path

from tokenizers import Tokenizer

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.transformers import load_transformers
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint

REGRESSION = "clozekit.tasks.regression.RegressionModule"

# A text on which two ways of normalising differ: case, accents, Chinese, control characters.
_PROBE = "Aa Éé Ǆ ﬁ 中文 \t\x01 ΑΣ İ"


def load_pretrained(source: str) -> Pretrained:
    """Reads a pretrained model.

    Args:
        source: A run's folder or checkpoint of clozekit, a folder in the layout of transformers, or
            the name of one on the Hugging Face hub.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    path = Path(source)
    is_ours = path.is_file() or (path / "checkpoints").is_dir()
    return from_checkpoint(load_checkpoint(path)) if is_ours else load_transformers(source)


def from_checkpoint(checkpoint: Checkpoint) -> Pretrained:
    """Takes what training can go on from out of a checkpoint."""
    arguments = checkpoint.task_arguments
    problem_type = "multi_label_classification" if arguments.get("multi_label") else None
    if checkpoint.config["task"]["_target_"] == REGRESSION:
        problem_type = "regression"
    return Pretrained(
        path=checkpoint.path,
        encoder=EncoderConfig.model_validate(checkpoint.config["encoder"]),
        weights=checkpoint.weights("model."),
        tokenizer=checkpoint.tokenizer,
        label_names=checkpoint.label_names,
        problem_type=problem_type,
        task=checkpoint.config["task"],
        task_arguments=arguments,
        data=checkpoint.config["data"],
    )


def check_tokenizers_agree(data: Tokenizer, pretrained: Pretrained) -> None:
    """Checks that the data is read with the tokens that the pretrained encoder knows.

    Raises:
        ConfigError: The vocabularies differ, or the ways to normalise text.
    """
    theirs = pretrained.tokenizer
    if theirs is None:
        return
    before, now = theirs.get_vocab(), data.get_vocab()
    if before != now:
        differing = sorted(t for t in before.keys() | now.keys() if before.get(t) != now.get(t))
        raise ConfigError(
            f"encoder.pretrained={pretrained.path} has another vocabulary than the data: "
            f"{len(differing)} tokens are not the same, such as {differing[0]!r}; prepare the "
            "corpus with tokenizer=existing and tokenizer.path=… of its tokenizer"
        )
    if _normalized(theirs) != _normalized(data):
        raise ConfigError(
            f"encoder.pretrained={pretrained.path} normalises text otherwise than the data's "
            f"tokenizer: {_PROBE!r} becomes {_normalized(theirs)!r}, the data's is "
            f"{_normalized(data)!r}"
        )


def _normalized(tokenizer: Tokenizer) -> str:
    normalizer = tokenizer.normalizer
    return _PROBE if normalizer is None else str(normalizer.normalize_str(_PROBE))
