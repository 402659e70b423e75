"""Training steps of ModernBERT and RoBERTa: clozekit and transformers in turn, masked words alone.

    python experiments/throughput/families.py

Both take turns, step by step, in one process with the same threads: run it on an idle machine. It
writes families.json and length.png beside this file. transformers has its best settings: SDPA,
fused AdamW, padding before the clock starts, and for ModernBERT logits of the masked words alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import transformers
from cases import IGNORED, SIZES, Size, adamw, finished, pretraining_batches
from measure import machine
from shards import VOCAB_SIZE
from timing import rates, ratios, seconds_in_turn, spread
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import MaskedLMBatch, PretrainingBatch
from clozekit.data.packing import Packing
from clozekit.interop.families import family_of_config
from clozekit.interop.head_names import make_model
from clozekit.models.blocks import PreNormBlock
from clozekit.models.kernels.grouping import Grouping
from clozekit.models.layout import Layout
from clozekit.optim.groups import parameter_groups

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "families.json"
LONG = (2048, 8192)
"""Lengths of one text per batch, without padding, to compare the cost of a token."""
COST_LENGTHS = (128, 512, 2048, 8192)
WINDOW = 128
MASKED = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["modernbert", "roberta"])
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini", "small", "base"])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results: dict[str, Any] = {"machine": machine(), "steps": [], "cost_of_a_token": []}
    for family in given.families:
        for size in SIZES:
            for seq_len in (128, 512, *(LONG if family == "modernbert" else ())):
                if size.name in given.sizes and not _is_too_large(size, seq_len):
                    results["steps"].append(compared(family, size, seq_len, given.repetitions))
                    given.out.write_text(json.dumps(results, indent=2) + "\n")
    for size in SIZES:
        if size.name in ("tiny", "mini") and size.name in given.sizes:
            results["cost_of_a_token"] += costs(size, given.repetitions)
            given.out.write_text(json.dumps(results, indent=2) + "\n")
    plot(results["cost_of_a_token"], given.out.with_name("length.png"))


def _is_too_large(size: Size, seq_len: int) -> bool:
    """Whether transformers would need minutes for a step, or more memory than there is."""
    return seq_len == max(LONG) and size.name in ("small", "base")


def compared(family: str, size: Size, seq_len: int, repetitions: int) -> dict[str, Any]:
    torch.manual_seed(0)
    number = 2 if seq_len not in LONG else 1
    batches = masked_batches(size, seq_len, number)
    config = reference_config(family, size, max(seq_len, 512))
    ours, theirs = Ours(encoder_of(config)), Theirs(config)
    seconds = seconds_in_turn(
        {
            "clozekit": [ours(batch) for batch in batches],
            "transformers": [theirs(batch) for batch in batches],
        },
        repetitions,
    )
    num_tokens = sum(batch.packing.num_tokens for batch in batches)
    row = {
        "family": family,
        "size": size.name,
        "seq_len": seq_len,
        "sequences": batches[0].packing.batch_size,
        "ratio": ratios(seconds["transformers"], seconds["clozekit"]),
        "tokens_per_second": {name: rates(num_tokens, of) for name, of in seconds.items()},
    }
    of = {name: row["tokens_per_second"][name]["median"] for name in seconds}
    print(
        f"{family:<11}{size.name:<6}{seq_len:>5}  ratio {row['ratio']['median']:.2f} "
        f"({row['ratio']['lowest']:.2f} to {row['ratio']['highest']:.2f})  "
        + "  ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in of.items()),
        flush=True,
    )
    return row


def costs(size: Size, repetitions: int) -> list[dict[str, Any]]:
    """Measures one block, forward and backward, on the same number of tokens at each length."""
    tokens = max(COST_LENGTHS)
    config = encoder_of(reference_config("modernbert", size, tokens))
    steps = {
        (kind, length): [block_step(config, layer, length, tokens)]
        for length in COST_LENGTHS
        for layer, kind in enumerate(("global", "local"))
    }
    seconds = seconds_in_turn(steps, repetitions)
    rows = []
    for (kind, length), of in sorted(seconds.items()):
        cost = spread([1e6 * s / tokens for s in of])
        rows.append({"size": size.name, "block": kind, "length": length, "microseconds": cost})
        print(f"{size.name:<6}{kind:<7}{length:>5}  {cost['median']:.2f} us/token", flush=True)
    return rows


def block_step(config: EncoderConfig, layer: int, length: int, tokens: int) -> Any:
    block = PreNormBlock(config, layer).train()
    packing = Packing.from_lengths(np.full(tokens // length, length))
    hidden_states = torch.randn(tokens, config.hidden_size, requires_grad=True)

    def step() -> None:
        layout = Layout.of(Grouping.by_length(packing), config, needs_blocks=True)
        block(hidden_states, layout).sum().backward()

    return step


class Ours:
    """clozekit's steps: its model, its loss, its parameter groups."""

    def __init__(self, config: EncoderConfig) -> None:
        self.model = make_model(["masked_lm_head"], config).train()
        self.optimizer = adamw(parameter_groups(self.model, 0.01))

    def __call__(self, batch: MaskedLMBatch) -> Any:
        return lambda: finished(self.loss(batch), self.model, self.optimizer)

    def loss(self, batch: MaskedLMBatch) -> Tensor:
        model: Any = self.model
        encoded = model.encoder(batch.input_ids, packing=batch.packing).sequence_output
        masked = encoded.index_select(0, batch.masked_lm_positions)
        found = model.masked_lm_head.cross_entropy(masked, batch.masked_lm_labels)
        loss: Tensor = found.loss_sum / len(batch.masked_lm_labels)
        return loss


class Theirs:
    """transformers' steps, on batches that are padded to their longest text beforehand."""

    def __init__(self, config: Any) -> None:
        model: Any = transformers.AutoModelForMaskedLM.from_config(config)
        self.model = model.train()
        self.optimizer = adamw(parameter_groups(self.model, 0.01))

    def __call__(self, batch: MaskedLMBatch) -> Any:
        labels = torch.full_like(batch.input_ids, IGNORED)
        labels[batch.masked_lm_positions] = batch.masked_lm_labels
        inputs = {
            "input_ids": batch.packing.pad(batch.input_ids),
            "attention_mask": batch.packing.attention_mask.long(),
            "labels": batch.packing.pad(labels - IGNORED) + IGNORED,
        }
        return lambda: finished(self.model(**inputs).loss, self.model, self.optimizer)


def reference_config(family: str, size: Size, longest: int) -> Any:
    """Makes transformers' configuration of a size; vocabulary and heads are those of BERT's."""
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "attn_implementation": "sdpa",
    }
    if family == "roberta":
        return transformers.RobertaConfig(
            **sizes, intermediate_size=4 * size.hidden, max_position_embeddings=longest + 2
        )
    return transformers.ModernBertConfig(
        **sizes,
        # Two thirds of BERT's, because a gated layer has three matrices.
        intermediate_size=size.hidden * 8 // 3 // 64 * 64,
        max_position_embeddings=longest,
        local_attention=WINDOW,
        sparse_prediction=True,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 0),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 0),
    )


def encoder_of(config: Any) -> EncoderConfig:
    values = config.to_dict()
    return family_of_config(values, Path("config.json")).read_config(values, Path("config.json"))


def masked_batches(size: Size, seq_len: int, number: int) -> list[MaskedLMBatch]:
    if seq_len in LONG:
        return [full_batch([seq_len], seed) for seed in range(number)]
    return [without_pairs(batch) for batch in pretraining_batches(size, seq_len, number)]


def without_pairs(batch: PretrainingBatch) -> MaskedLMBatch:
    return MaskedLMBatch(
        sample_ids=batch.sample_ids,
        input_ids=batch.input_ids,
        token_type_ids=torch.zeros_like(batch.input_ids),
        packing=batch.packing,
        masked_lm_positions=batch.masked_lm_positions,
        masked_lm_labels=batch.masked_lm_labels,
    )


def full_batch(lengths: list[int], seed: int) -> MaskedLMBatch:
    """Makes texts of given lengths, of random words."""
    draw = np.random.default_rng(seed)
    num_tokens = sum(lengths)
    positions = np.sort(draw.choice(num_tokens, int(MASKED * num_tokens), replace=False))
    return MaskedLMBatch(
        sample_ids=torch.arange(len(lengths)),
        token_type_ids=torch.zeros(num_tokens, dtype=torch.int64),
        input_ids=torch.from_numpy(draw.integers(5, VOCAB_SIZE, num_tokens)),
        packing=Packing.from_lengths(np.array(lengths)),
        masked_lm_positions=torch.from_numpy(positions),
        masked_lm_labels=torch.from_numpy(draw.integers(5, VOCAB_SIZE, len(positions))),
    )


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the cost of a token against length."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(4.2 * len(sizes), 3.6), layout="constrained", squeeze=False
    )
    for size, axis in zip(sizes, axes[0], strict=True):
        for kind in ("global", "local"):
            of = [row for row in rows if row["size"] == size and row["block"] == kind]
            medians = [row["microseconds"]["median"] for row in of]
            axis.plot([row["length"] for row in of], medians, marker="o", label=f"{kind} attention")
        axis.set(xscale="log", ylim=(0, None), title=size)
        axis.set_xticks(COST_LENGTHS, [str(length) for length in COST_LENGTHS])
        axis.set_xlabel("tokens in a text")
    axes[0][0].set_ylabel("microseconds per token of a block")
    axes[0][0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
