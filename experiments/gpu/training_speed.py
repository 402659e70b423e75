"""Training steps of clozekit and of transformers, in turn: pretraining and fine-tuning."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from held import (
    HeldData,
    classification_batches,
    pinned,
    question_batches,
)
from ours import (
    Measured,
    Turns,
    enough,
    free_memory,
    tokens_of,
    train_config,
    train_in_turn,
    with_fewer_rows,
)
from reused import drawn_batches, spread, step_flops
from theirs import Theirs

from clozekit.config.encoder import EncoderConfig

STEPS = 8
"""The batches of a block; of several, so that not one batch's lengths decide."""

DATA = {
    "pretraining": ("task=pretraining", "data=pretraining", "data.path=held"),
    "classification": ("task=classification", "data=classification", "data.train=held"),
    "questions": ("task=question_answering", "data=question_answering", "data.train=held"),
}
OF_TASK = {"classification": {"label_names": ["no", "yes"], "multi_label": False}}


def measure(
    tell: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    *,
    kind: str,
    size: str,
    seq_len: int,
    rows: int,
    dropout: float,
    compiling: str,
) -> None:
    """Measures one row: an encoder's size, a length, a dropout, compiled or not.

    Args:
        tell: Called with the row.
        settings: The device and its rates.
        kind: `pretraining`, `classification` or `questions`.
        size: The name of the encoder's size.
        seq_len: The longest sequence.
        rows: The pairs or rows of a batch; halved if they need too much memory.
        dropout: The probability of all dropouts.
        compiling: The choice of the group `compile` for clozekit's encoder. Unless it is `off`,
            transformers' model is measured compiled too, beside the plain one.
    """
    device = torch.device(settings["device"])
    free_memory()
    torch.compiler.reset()  # compiled functions are counted over all rows, up to a limit
    rows, found = with_fewer_rows(
        rows,
        lambda number: _in_turn(kind, size, seq_len, number, dropout, compiling, settings),
        device,
    )
    turns, encoder, batches, weights = found
    seconds = {name: of.seconds for name, of in turns.measured.items()}
    num_tokens = tokens_of(batches)
    num_places = sum(batch.batch_size * batch.packing.max_seqlen for batch in batches)
    flops = sum(step_flops(encoder, b) for b in batches) if kind == "pretraining" else None
    tell(
        {
            "kind": kind,
            "size": size,
            "seq_len": seq_len,
            "rows": rows,
            "dropout": dropout,
            "compile": compiling,
            "tokens_per_step": num_tokens / len(batches),
            "padding": 1 - num_tokens / num_places,
            "repetitions": len(seconds["clozekit"]),
            "programs": {
                name: _figures(of, num_tokens, rows, flops, weights, settings)
                for name, of in turns.measured.items()
            },
            "ratio": {
                name: spread([a / b for a, b in zip(of, seconds["clozekit"], strict=True)])
                for name, of in seconds.items()
                if name != "clozekit"
            },
            "failed_programs": turns.failures,
        }
    )


def _in_turn(
    kind: str,
    size: str,
    seq_len: int,
    rows: int,
    dropout: float,
    compiling: str,
    settings: Mapping[str, Any],
) -> tuple[Turns, EncoderConfig, Sequence[Any], int]:
    torch.manual_seed(0)
    device = torch.device(settings["device"])
    batches = pinned(_batches(kind, seq_len, rows, settings), device)
    data = HeldData(batches, seq_len, OF_TASK.get(kind))
    with tempfile.TemporaryDirectory() as folder:
        more = (*DATA[kind], f"data.max_seq_length={max(8, seq_len)}", f"runs_dir={folder}")
        config = train_config(size, dropout, compiling, settings, *more)
        encoder = config.encoder.model_copy(update={"vocab_size": data.vocab_size})
        theirs = Theirs(kind, encoder, batches, seq_len, settings)
        weights = sum(weight.numel() for weight in theirs.model.parameters())
        turns, encoder = train_in_turn(
            config, data, theirs.blocks(compiling), enough(settings), settings
        )
    return turns, encoder, batches, weights


def _batches(kind: str, seq_len: int, rows: int, settings: Mapping[str, Any]) -> list[Any]:
    number = 2 if settings["smoke"] else STEPS
    if kind == "pretraining":
        return list(drawn_batches(seq_len, rows, number, 40 if settings["smoke"] else 4_000))
    if kind == "classification":
        return list(classification_batches(range(seq_len // 2, seq_len + 1), rows, number))
    return list(question_batches(range(seq_len // 3, seq_len + 1), rows, number))


def _figures(
    measured: Measured,
    num_tokens: int,
    rows: int,
    flops: float | None,
    num_weights: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Turns a program's seconds into rates; a block has all batches."""
    steps = 2 if settings["smoke"] else STEPS
    figures: dict[str, Any] = {
        "tokens_per_second": spread([num_tokens / of for of in measured.seconds]),
        "rows_per_second": spread([steps * rows / of for of in measured.seconds]),
        "ms_per_step": spread([1e3 * of / steps for of in measured.seconds]),
    }
    if measured.step_bytes:
        # Weights and the two moments of Adam, in float32; gradients are of the step.
        figures["step_mib"] = round(measured.step_bytes / 2**20)
        figures["peak_mib"] = round((measured.step_bytes + 12 * num_weights) / 2**20)
    if flops is not None:
        rate = flops / spread(measured.seconds)["median"]
        figures["flops_per_second"] = rate
        for name in ("matrix_product_rate", "data_sheet_rate"):
            if settings.get(name):
                figures[f"share_of_{name}"] = rate / settings[name]
    return figures
