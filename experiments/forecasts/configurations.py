"""The configurations whose forecasts are compared with what happens."""

from pathlib import Path

CORPUS = Path("data/forecasts")
SENTENCES = Path("data/demo-sentiment")

NO_DROPOUT = ("encoder.hidden_dropout_prob=0", "encoder.attention_probs_dropout_prob=0")
MASKED_LM = (f"data.path={CORPUS}", "task=masked_lm", "data=masked_lm")
PAIRS = (f"data.path={CORPUS}",)
PHASES = (
    "data.phases=[{ratio: 0.6, max_seq_length: 64, micro_batch_size: 32}, "
    "{ratio: 0.4, masked_lm_prob: 0.3}]"
)
LOCAL = ("encoder.local_attention=32", "encoder.global_attn_every_n_layers=3")


def batch(samples: int, micro_batch: int, length: int) -> tuple[str, ...]:
    return (
        f"global_batch_size={samples}",
        f"micro_batch_size={micro_batch}",
        f"data.max_seq_length={length}",
    )


CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "tiny, pairs of 128 tokens": (*PAIRS, "encoder=tiny", *batch(32, 32, 128)),
    "tiny, no dropout, 8 pairs": (*PAIRS, "encoder=tiny", *NO_DROPOUT, *batch(8, 8, 128)),
    "tiny, 512 tokens": (*PAIRS, "encoder=tiny", *batch(16, 16, 512)),
    "tiny, two phases": (*PAIRS, "encoder=tiny", PHASES, *batch(32, 16, 128)),
    "tiny, Muon, often validated and saved": (
        *(*PAIRS, "encoder=tiny", "optimizer=muon", *batch(32, 32, 128)),
        *("validate_every_n_steps=50", "trainer.limit_val_batches=20"),
        "callbacks.checkpoints.every_n_steps=10",
    ),
    "tiny, activation checkpointing": (
        *(*PAIRS, "encoder=tiny", "activation_checkpointing=true", *batch(64, 64, 128)),
    ),
    "mini, masked words, 4 micro-batches": (*MASKED_LM, "encoder=mini", *batch(64, 16, 128)),
    "mini, bf16-mixed": (
        *(*PAIRS, "encoder=mini", "trainer.precision=bf16-mixed", *batch(16, 16, 128)),
    ),
    "modern tiny, local attention, 256 tokens": (
        *(*MASKED_LM, "encoder=modern_tiny", *LOCAL, *batch(16, 16, 256)),
    ),
    "small, sentiment of sentences": (
        *("task=classification", "data=classification", "encoder=small", *batch(32, 32, 64)),
        *(f"data.{split}={SENTENCES}/{split}.csv" for split in ("train", "validation")),
        f"data.tokenizer={CORPUS}/tokenizer.json",
    ),
}
"""By their names: the overrides of `clozekit train`."""
