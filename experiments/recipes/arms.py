"""What is tried for a short pretraining: each change to a base alone, and the best together."""

from pathlib import Path

from experiments.equal_time import Arm, Comparison, Downstream

CORPUS = Path("data/encoders")
SECONDS = 600.0
TUNING_SECONDS = 60.0
RATES = (1e-3, 2e-3, 4e-3)
SIZES = ("tiny", "mini")
INITIAL = {"tiny": 0.08, "mini": 0.06}
"""About 1 / sqrt(hidden_size)."""

MUON = ("optimizer=muon", "optimizer.betas=[0.9,0.98]")
WSD = ("schedule=wsd", "schedule.decay_ratio=0.4")
MASKS_30 = ("data.masked_lm_prob=0.3",)
MASKS_40 = ("data.masked_lm_prob=0.4",)


def batch(pairs: int) -> tuple[str, ...]:
    return (f"global_batch_size={pairs}", f"micro_batch_size={pairs}")


def comparison(size: str, seconds: float = SECONDS) -> Comparison:
    """Returns what is compared at a size."""
    modern, bert = f"encoder=modern_{size}", f"encoder={size}"
    dropout = tuple(f"encoder.{part}_dropout_prob=0.1" for part in ("hidden", "attention_probs"))
    return Comparison(
        name=f"recipes/{size}",
        corpus=CORPUS,
        seconds=seconds,
        tuning_seconds=TUNING_SECONDS,
        overrides=("experiment=demo_pretraining", f"encoder.initializer_range={INITIAL[size]}"),
        arms=(
            Arm("base", "base: AdamW, linear decay, 15 % masks, 16 pairs", (modern,), RATES),
            Arm("muon", "Muon", (modern, *MUON), RATES),
            Arm("wsd", "constant, then a decay over 40 %", (modern, *WSD), RATES),
            Arm("masks_30", "30 % masks", (modern, *MASKS_30), RATES),
            Arm("masks_40", "40 % masks", (modern, *MASKS_40), RATES),
            Arm("dropout", "dropout 0.1", (modern, *dropout), RATES),
            Arm("pairs_8", "8 pairs", (modern, *batch(8)), RATES),
            Arm("pairs_64", "64 pairs", (modern, *batch(64)), (2e-3, 4e-3, 8e-3)),
            Arm("bert", "BERT's block", (bert,), RATES),
            Arm(
                "transformers",
                "BERT's block, by transformers",
                (bert,),
                RATES,
                module="experiments.recipes.theirs",
            ),
            Arm(
                "best",
                "Muon, the late decay and 40 % masks",
                (modern, *MUON, *WSD, *MASKS_40),
                RATES,
            ),
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
