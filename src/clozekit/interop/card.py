"""The model card of an exported folder."""

from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from clozekit.interop.families import FAMILIES
from clozekit.interop.markdown import as_code, as_code_block, as_text

_PIPELINES = {
    "ForPreTraining": "fill-mask",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "Model": "feature-extraction",
}
"""By the end of the class's name."""


def model_card(
    architecture: str | None,
    library: str,
    step: int,
    config: Mapping[str, Any],
    data_hash: str | None,
    metrics: Mapping[str, float],
    version: str,
) -> ModelCard:
    """Makes the model card: what the model is, its training data, steps, metrics and configuration.

    Args:
        architecture: The transformers class with the same heads; None if the encoder is of a user's
            own class.
        library: The library that loads the folder.
        step: Number of optimizer steps.
        config: The configuration of the run.
        data_hash: The hash of the training data, if known.
        metrics: The metrics of these weights by name; empty if they were not evaluated.
        version: The version of clozekit.
    """
    data = ModelCardData(
        library_name=library,
        pipeline_tag=_pipeline(architecture, library),
        tags=["clozekit"] if architecture is None else [_family_tag(architecture), "clozekit"],
    )
    kind = (
        f"An encoder of the class {as_code(config['encoder']['_target_'])}"
        if architecture is None
        else f"An encoder with the heads of `{architecture}`"
    )
    batch = config.get("global_batch_size")
    is_same = "global_batch_size" not in str(config["data"].get("phases"))
    size = f" of {batch:,} samples" if isinstance(batch, int) and is_same else ""
    given = {key: value for key, value in config["data"].items() if key != "_target_"}
    paths = {key: given[key] for key in ("path", "train", "validation", "test") if given.get(key)}
    if isinstance(paths.get("path"), Mapping):
        paths = {f"path.{name}": source for name, source in _paths_of(paths["path"]).items()}
    rows = [f"| {as_text(name)} | {value:.4f} |" for name, value in sorted(metrics.items())]
    lines = [
        f"---\n{data.to_yaml()}\n---",
        f"# {as_text(config.get('name', 'model'))}",
        f"{kind}, trained by clozekit {version} in {step:,} steps{size}.",
        "## Data",
        "\n".join(f"- {as_text(key)}: {as_code(value)}" for key, value in paths.items()),
        f"Hash of the training data: {as_code(data_hash)}." if data_hash else "",
        "## Metrics",
        "\n".join(["| metric | value |", "|---|---|", *rows])
        if rows
        else "These weights were not evaluated.",
        "## Configuration",
        as_code_block(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), "yaml"),
    ]
    return ModelCard(
        "\n\n".join(line for line in lines if line) + "\n", ignore_metadata_errors=True
    )


def _paths_of(sources: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the path of each source of a mixture; a source of another kind as it is."""
    return {
        name: source.get("path") if isinstance(source, Mapping) else source
        for name, source in sources.items()
    }


def _pipeline(architecture: str | None, library: str) -> str | None:
    if architecture is None:
        return None
    if library == "sentence-transformers":
        return "sentence-similarity"
    return next((tag for end, tag in _PIPELINES.items() if architecture.endswith(end)), None)


def _family_tag(architecture: str) -> str:
    """Returns the `model_type` of a class of transformers."""
    return next(
        family.model_type
        for family in FAMILIES
        if architecture.removeprefix(family.name).startswith(("For", "Model"))
    )
