"""BERT's block, each change to it alone, and all of them."""

from pathlib import Path

from experiments.equal_time import Arm, Comparison, Downstream

CORPUS = Path("data/encoders")
SECONDS = 120.0
TUNING_SECONDS = 60.0
RATES = (5e-4, 1e-3, 2e-3, 4e-3)

PRE_NORM = ("encoder.norm_position=pre",)
ROTARY = ("encoder.position_embedding_type=rotary",)
# Two thirds of 512, because a gated layer has three matrices instead of two.
GATED = ("encoder.gated_feed_forward=true", "encoder.intermediate_size=344")
LOCAL = ("encoder.local_attention=64", "encoder.global_attn_every_n_layers=3")
NO_BIAS = ("encoder.attention_bias=false", "encoder.mlp_bias=false", "encoder.norm_bias=false")
SIZE = (
    "encoder.num_hidden_layers=4",
    "encoder.hidden_size=128",
    "encoder.num_attention_heads=2",
)

FINE_TUNING = ("callbacks.checkpoints.every_n_steps=1000000",)


def comparison(seconds: float = SECONDS) -> Comparison:
    """Returns what is compared."""
    return Comparison(
        name="encoders",
        corpus=CORPUS,
        seconds=seconds,
        tuning_seconds=TUNING_SECONDS,
        # No dropout: a part that trains faster should not be judged by how it is regularised.
        overrides=("experiment=demo_pretraining", *SIZE),
        arms=(
            Arm("bert", "BERT's block", learning_rates=RATES),
            Arm("pre_norm", "norms before instead of after", PRE_NORM, RATES),
            Arm("rotary", "rotary instead of absolute positions", ROTARY, RATES),
            Arm("gated", "gated feed-forward (GeGLU)", GATED, RATES),
            Arm("local", "a window of 64 in two of three layers", LOCAL, RATES),
            Arm("no_bias", "no biases", NO_BIAS, RATES),
            Arm("modern", "all of these", PRE_NORM + ROTARY + GATED + LOCAL + NO_BIAS, RATES),
        ),
        tasks=(
            Downstream(
                "sentiment",
                "sentiment of a sentence",
                "validation/accuracy",
                (
                    "experiment=demo_sentiment",
                    *(f"data.{s}=data/demo-sentiment/{s}.csv" for s in ("train", "validation")),
                    *FINE_TUNING,
                ),
            ),
            Downstream(
                "pos",
                "parts of speech",
                "validation/accuracy",
                (
                    "task=tagging",
                    "data=tagging",
                    *(
                        f"data.{s}=data/finetune_tasks/pos/{s}.conll"
                        for s in ("train", "validation")
                    ),
                    "max_epochs=6",
                    "global_batch_size=16",
                    "micro_batch_size=16",
                    "optimizer.lr=1e-3",
                    *FINE_TUNING,
                ),
            ),
        ),
    )
