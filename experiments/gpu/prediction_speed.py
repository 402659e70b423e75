"""Predicting: clozekit as `clozekit predict` does it, beside transformers' forward passes."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from cards import synchronize
from held import vocabulary
from ours import enough, train_config
from reused import VOCAB_SIZE, reference_config, spread

import clozekit
from clozekit.data.labelled.labelled_source import LabelledSource

CLASSES = {
    "classification": transformers.BertForSequenceClassification,
    "questions": transformers.BertForQuestionAnswering,
}
QUESTION_WORDS = 12


def measure(
    tell: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    *,
    kind: str,
    size: str,
    seq_len: int,
    rows: int,
    precision: str,
) -> None:
    """Measures examples a second.

    `clozekit` is all of its predicting but for reading and tokenizing: batches, forward, decoding.
    `clozekit, forward` and `transformers` are the forward passes alone, on the same batches and in
    the same precision, whose logits are waited for.

    Args:
        tell: Called with the row.
        settings: The device.
        kind: `classification` or `questions`.
        size: The name of the encoder's size.
        seq_len: The longest sequence.
        rows: The number of examples.
        precision: `32-true` or `bf16-mixed`.
    """
    device = torch.device(settings["device"])
    torch.set_float32_matmul_precision("highest")  # training in this process may have changed it
    with tempfile.TemporaryDirectory() as folder:
        _write_model(Path(folder), kind, size, settings)
        options: dict[str, Any] = {"data_options": {"max_seq_length": seq_len}}
        if precision != "32-true":
            options["precision"] = precision
        loaded = clozekit.load(folder, device=settings["device"], **options)
        theirs = CLASSES[kind].from_pretrained(folder, attn_implementation="sdpa")
    predictor: Any = loaded.predictor
    examples = [predictor.read(row, n) for n, row in enumerate(_rows(kind, seq_len, rows))]
    source = LabelledSource(predictor.features.encode(examples, is_labelled=False), False)
    batches = [
        source.build([span], is_training=False)
        for span in source.evaluation_spans(predictor.batch_size)
    ]
    inputs = [{name: of.to(device) for name, of in batch.padded().items()} for batch in batches]
    theirs = theirs.to(device).eval()
    clock = ForwardClock(predictor.model, device)

    def ours() -> None:
        for _ in predictor.predictions(source):
            pass

    seconds = _seconds_in_turn(
        {
            "clozekit": ours,
            "transformers": lambda: _forward(theirs, inputs, precision, device),
        },
        clock,
        enough(settings),
        device,
    )
    forward = seconds["clozekit, forward"]
    tell(
        {
            "kind": kind,
            "size": size,
            "seq_len": seq_len,
            "rows": rows,
            "batch_size": predictor.batch_size,
            "tokens": sum(batch.packing.num_tokens for batch in batches),
            "precision": precision,
            "rows_per_second": {
                name: spread([rows / each for each in of]) for name, of in seconds.items()
            },
            "ratio_of_forward": spread(
                [a / b for a, b in zip(seconds["transformers"], forward, strict=True)]
            ),
        }
    )


class ForwardClock:
    """Adds up the seconds inside the forward of a model's encoder.

    Attributes:
        seconds: Their sum so far.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self._since = 0.0
        model.encoder.register_forward_pre_hook(self._start)
        model.encoder.register_forward_hook(self._stop)

    def _start(self, *_: Any) -> None:
        synchronize(self.device)
        self._since = time.perf_counter()

    def _stop(self, *_: Any) -> None:
        synchronize(self.device)
        self.seconds += time.perf_counter() - self._since


@torch.inference_mode()
def _forward(
    model: Any,
    batches: Sequence[dict[str, torch.Tensor]],
    precision: str,
    device: torch.device,
) -> None:
    """Computes the logits of all batches, each waited for."""
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            model(**batch)
        synchronize(device)


def _seconds_in_turn(
    programs: Mapping[str, Callable[[], None]],
    clock: ForwardClock,
    is_enough: Callable[[int, float], bool],
    device: torch.device,
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in (*programs, "clozekit, forward")}
    began, repetition = 0.0, -1
    while repetition < 0 or not is_enough(repetition, time.perf_counter() - began):
        for name, program in programs.items():
            synchronize(device)
            clock.seconds, since = 0.0, time.perf_counter()
            program()
            synchronize(device)
            if repetition >= 0:
                seconds[name].append(time.perf_counter() - since)
                if name == "clozekit":
                    seconds["clozekit, forward"].append(clock.seconds)
        repetition += 1
        if not repetition:
            began = time.perf_counter()
    return seconds


def _write_model(folder: Path, kind: str, size: str, settings: Mapping[str, Any]) -> None:
    """Writes an untrained model of transformers, whose tokenizer knows the random words."""
    given = ("task=pretraining", "data=pretraining", "data.path=held", f"runs_dir={folder}/runs")
    encoder = train_config(size, 0.1, "off", settings, *given).encoder
    config = reference_config(encoder.model_copy(update={"vocab_size": VOCAB_SIZE}), num_labels=2)
    torch.manual_seed(0)
    CLASSES[kind](config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")


def _rows(kind: str, seq_len: int, number: int) -> list[dict[str, str]]:
    """Draws texts that are from half as long to as long as `seq_len` tokens."""
    generator = np.random.default_rng(0)
    rows = []
    for length in generator.integers(seq_len // 2, seq_len + 1, number):
        words = [f"w{word}" for word in generator.integers(5, VOCAB_SIZE, length - 3)]
        if kind == "classification":
            rows.append({"text": " ".join(words)})
        else:
            asked = min(QUESTION_WORDS, len(words) // 2)
            question, context = words[:asked], words[asked:]
            rows.append({"question": " ".join(question), "context": " ".join(context)})
    return rows
