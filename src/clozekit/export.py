"""`clozekit export`: writes a checkpoint as a model folder for other programs."""

import math
from pathlib import Path

from clozekit import __version__
from clozekit.config.export import ExportConfig
from clozekit.config.paths import check_out
from clozekit.errors import ConfigError
from clozekit.files import write_folder_atomically
from clozekit.interop.card import model_card
from clozekit.interop.families import family_of_encoder, parts_in_words
from clozekit.interop.onnx import check_packages, heads_left_out, save_onnx
from clozekit.interop.pretrained import EmbeddingSettings, Pretrained
from clozekit.interop.saving import (
    architecture_of,
    loading_call,
    save_description,
    save_safetensors,
    save_transformers,
)
from clozekit.interop.sentence_transformers import (
    EMBEDDING,
    save_sentence_transformers,
    without_heads,
)
from clozekit.output.display import say
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint
from clozekit.runs.folder import run_of
from clozekit.runs.load_pretrained import from_checkpoint
from clozekit.runs.metrics_file import read_metrics_of, read_series

_LIBRARIES = {
    "transformers": "transformers",
    "safetensors": "clozekit",
    "onnx": "onnx",
    "sentence_transformers": "sentence-transformers",
}
"""The library that loads each format."""

_OF_FAMILIES = ("transformers", "sentence_transformers")
"""The formats of encoders that transformers has."""


def export(config: ExportConfig) -> None:
    """Writes a checkpoint's model, tokenizer and model card to a new folder.

    Raises:
        ConfigError: The folder is not empty, a package is missing, or the format does not support
            the encoder's class.
        DataError: The checkpoint cannot be read.
    """
    check_out(config.out)
    if config.format == "onnx":
        check_packages()
    checkpoint = load_checkpoint(config.checkpoint)
    model = from_checkpoint(checkpoint)
    if not model.encoder.is_own and config.format != "safetensors":
        raise ConfigError(
            f"format={config.format}: the encoder of {checkpoint.path} is of class "
            f"{model.encoder.target}, which can only be exported with format=safetensors"
        )
    if config.format in _OF_FAMILIES and family_of_encoder(model.encoder) is None:
        raise ConfigError(
            f"format={config.format}: the encoder of {checkpoint.path} has "
            f"{parts_in_words(model.encoder)}, which no family of encoders that clozekit writes "
            "has together; use format=safetensors or format=onnx"
        )
    # Atomic, so that a half-written folder cannot be mistaken for a model.
    with write_folder_atomically(config.out) as unfinished:
        _write(checkpoint, model, config, unfinished)
    say(f"exported {checkpoint.path} (step {checkpoint.step}) to {config.out}")


def _write(checkpoint: Checkpoint, model: Pretrained, config: ExportConfig, folder: Path) -> None:
    if config.format == "transformers":
        _write_transformers(checkpoint, model, folder)
    elif config.format == "sentence_transformers":
        _write_sentence_transformers(checkpoint, model, folder)
    elif config.format == "safetensors":
        save_safetensors(model, folder)
    else:
        save_onnx(model, folder)
        if left_out := heads_left_out(model):
            say(
                f"{', '.join(left_out)}: format=onnx has no such head; only the encoder is "
                "exported, export all with format=safetensors"
            )
        save_description(model, folder)
    if config.format == "sentence_transformers":
        model = without_heads(model)
    card = model_card(
        architecture_of(model) if family_of_encoder(model.encoder) else None,
        _LIBRARIES[config.format],
        checkpoint.step,
        checkpoint.config,
        checkpoint.data_hash,
        _metrics_of(checkpoint),
        __version__,
    )
    card.save(folder / "README.md")


def _write_transformers(checkpoint: Checkpoint, model: Pretrained, folder: Path) -> None:
    dropout = checkpoint.group("task").get("classifier_dropout")
    keys = () if (family := family_of_encoder(model.encoder)) is None else family.dropout_keys
    settings = dict.fromkeys(keys, dropout) if isinstance(dropout, int | float) else {}
    left_out = save_transformers(model, folder, **settings)
    if left_out:
        architecture = architecture_of(model)
        is_encoder = architecture.endswith("Model")
        say(
            f"{', '.join(left_out)}: no class of transformers has this head; "
            f"{'only the encoder is exported' if is_encoder else 'it is left out'}, load "
            f"{'it' if is_encoder else 'the rest'} with {loading_call(model)}, or export with "
            "format=safetensors or format=onnx"
        )


def _write_sentence_transformers(checkpoint: Checkpoint, model: Pretrained, folder: Path) -> None:
    task, data = checkpoint.group("task"), checkpoint.group("data")
    # Only task=embedding has a pooling of its own.
    pooling = task.get("pooling") if task["_target_"] == EMBEDDING else None
    longest = data.get("max_seq_length")
    positions = model.encoder.longest_sequence
    settings = EmbeddingSettings(
        pooling="cls" if pooling == "cls" else "mean",
        max_seq_length=longest if isinstance(longest, int) else positions,
    )
    save_sentence_transformers(model, folder, settings)


def _metrics_of(checkpoint: Checkpoint) -> dict[str, float]:
    """Returns validation metrics of the checkpoint's step, and test metrics of the same weights."""
    folder = run_of(checkpoint.path)
    if folder is None:
        return {}
    metrics = {
        name: values[steps.index(checkpoint.step)]
        for name, (steps, values) in read_series(folder.metrics_file).items()
        if name.startswith("validation/") and checkpoint.step in steps
    }
    if not metrics or not folder.results_file.is_file():
        return metrics
    results = read_metrics_of(folder.results_file)
    # results.json is from the best or the last checkpoint: use it only if it is from this one.
    if all(math.isclose(results.get(name, math.nan), metrics[name]) for name in metrics):
        metrics |= {name: value for name, value in results.items() if name.startswith("test/")}
    return metrics
