"""What is tried for a short pretraining: each change to a base alone, and the best together."""

from pathlib import Path

from experiments.equal_time import Arm, Comparison, Downstream

CORPUS = Path("data/encoders")
SECONDS = 600.0
TUNING_SECONDS = 120.0
RATES = (1e-3, 2e-3, 4e-3)
SIZES = {
    "tiny": ("encoder=tiny", "encoder.initializer_range=0.08"),
    "mini": ("encoder=mini", "encoder.initializer_range=0.06"),
}
MUON = ("optimizer=muon", "optimizer.betas=[0.9,0.98]")
WSD = ("schedule=wsd", "schedule.decay_ratio=0.4")
BLOCK = ("encoder.norm_position=pre", "encoder.position_embedding_type=rotary")
"""The parts of ModernBERT's block that learn faster; see experiments/encoders."""
BEST = (*MUON, "data.masked_lm_prob=0.3")


def batch(pairs: int) -> tuple[str, ...]:
    return (f"global_batch_size={pairs}", f"micro_batch_size={pairs}")


def comparison(size: str, seconds: float = SECONDS) -> Comparison:
    """Returns what is compared at a size."""
    dropout = ("hidden", "attention_probs")
    return Comparison(
        name=f"recipes/{size}",
        corpus=CORPUS,
        seconds=seconds,
        tuning_seconds=TUNING_SECONDS,
        overrides=("experiment=demo_pretraining", *SIZES[size]),
        arms=(
            Arm("base", "AdamW, linear decay, 15 % masks, 16 pairs", learning_rates=RATES),
            Arm(
                "transformers",
                "the same by transformers",
                learning_rates=RATES,
                module="experiments.recipes.theirs",
            ),
            Arm("muon", "Muon", MUON, RATES),
            Arm("wsd", "constant, then a decay over 40 %", WSD, RATES),
            Arm("masks_30", "30 % masks", ("data.masked_lm_prob=0.3",), RATES),
            Arm("masks_40", "40 % masks", ("data.masked_lm_prob=0.4",), RATES),
            Arm(
                "dropout",
                "dropout 0.1",
                tuple(f"encoder.{part}_dropout_prob=0.1" for part in dropout),
                RATES,
            ),
            Arm("pairs_8", "8 pairs", batch(8), RATES),
            Arm("pairs_64", "64 pairs", batch(64), (2e-3, 4e-3, 8e-3)),
            Arm("block", "norms before, rotary positions", BLOCK, RATES),
            Arm("best", "Muon, 30 % masks, this block", (*BEST, *BLOCK), RATES),
        ),
        tasks=(
            Downstream(
                "sentiment",
                "sentiment of a sentence",
                "validation/accuracy",
                (
                    "experiment=demo_sentiment",
                    *(f"data.{s}=data/demo-sentiment/{s}.csv" for s in ("train", "validation")),
                    "callbacks.checkpoints.every_n_steps=1000000",
                ),
            ),
        ),
    )
