"""The units of each part, in the order of their worth: a run that is cut off has the best."""

from parts import Unit

from clozekit.config.composition.location import conf_dir
from clozekit.config.predict import PredictConfig

SHARES = {"tests": 0.25, "pretraining": 0.65, "fine_tuning": 0.6, "text": 1.0}
"""Each part's limit, as a share of the time that is left when it begins."""

ROWS = {
    ("small", 128): 512,
    ("small", 512): 128,
    ("base", 128): 256,
    ("base", 512): 64,
    ("large", 128): 256,
    ("large", 512): 64,
}
"""Pairs of a batch: about 30,000 tokens, twice as many for the small encoder."""

PRETRAINING = (
    ("base", 128, 0.0, "off"),
    ("large", 128, 0.0, "off"),
    ("small", 128, 0.0, "off"),
    ("base", 512, 0.0, "off"),
    ("base", 128, 0.1, "off"),
    ("base", 128, 0.0, "static"),
    ("small", 128, 0.0, "reduce_overhead"),
    ("large", 128, 0.0, "static"),
    ("base", 128, 0.0, "default"),
    ("base", 512, 0.0, "static"),
    ("base", 128, 0.1, "static"),
    ("large", 512, 0.0, "off"),
    ("small", 512, 0.0, "off"),
    ("large", 128, 0.1, "off"),
    ("small", 128, 0.1, "off"),
    ("base", 512, 0.1, "off"),
    ("large", 128, 0.0, "default"),
    ("small", 128, 0.0, "default"),
    ("small", 128, 0.1, "reduce_overhead"),
    ("large", 128, 0.1, "static"),
    ("base", 512, 0.1, "static"),
    ("large", 512, 0.1, "off"),
    ("small", 512, 0.1, "off"),
    ("large", 512, 0.0, "static"),
    ("small", 512, 0.0, "reduce_overhead"),
    ("base", 512, 0.0, "default"),
    ("base", 128, 0.1, "default"),
    ("large", 512, 0.1, "static"),
    ("small", 512, 0.1, "reduce_overhead"),
)
"""Size, length, dropout, choice of the group `compile`. Compiling takes a minute or more."""

SECONDS, SECONDS_COMPILED = 90.0, 200.0
"""The limit of one row."""

CARD_SECONDS = 120.0
"""The first import of torch on a machine can take most of it."""


def card() -> list[Unit]:
    return [Unit("card", "cards", CARD_SECONDS, {})]


def of_part(name: str, is_smoke: bool, text: str | None, limit_s: float) -> list[Unit]:
    if name == "tests":
        return [Unit("tests marked gpu", "gpu_tests", limit_s, {})]
    if name == "pretraining":
        return _toy_pretraining() if is_smoke else _pretraining()
    if name == "fine_tuning":
        return _toy_fine_tuning() if is_smoke else _fine_tuning()
    options = {"text": text, "seconds_left": limit_s}
    return [Unit("BERT-small", "real_text", limit_s, options)]


def _pretraining() -> list[Unit]:
    units = []
    for size, seq_len, dropout, compiling in PRETRAINING:
        rows = ROWS[size, seq_len]
        units += _training("pretraining", size, seq_len, rows, dropout, compiling)
    return units


def _toy_pretraining() -> list[Unit]:
    return [
        *_training("pretraining", "base", 32, 4, 0.1, "default"),
        *_training("pretraining", "base", 32, 4, 0.1, "static"),
    ]


def _fine_tuning() -> list[Unit]:
    return [
        *_training("classification", "base", 128, 32, 0.1, "off"),
        *_predicting("classification", 128, 2048, "bf16-mixed"),
        *_training("questions", "base", 384, 32, 0.1, "off"),
        *_predicting("questions", 384, 512, "bf16-mixed"),
        *_training("classification", "base", 128, 32, 0.1, "reduce_overhead"),
        *_predicting("classification", 128, 2048, "32-true"),
        *_predicting("questions", 384, 512, "32-true"),
        *_training("questions", "base", 384, 32, 0.1, "static"),
        *_training("classification", "base", 128, 32, 0.1, "default"),
        *_training("questions", "base", 384, 32, 0.1, "default"),
    ]


def _toy_fine_tuning() -> list[Unit]:
    return [
        *_training("classification", "base", 16, 4, 0.1, "default"),
        *_training("questions", "base", 32, 4, 0.1, "off"),
        *_predicting("classification", 16, 4, "32-true"),
        *_predicting("questions", 32, 4, "32-true"),
        *_predicting("questions", 32, 4, "bf16-mixed"),
    ]


def _training(
    kind: str, size: str, seq_len: int, rows: int, dropout: float, compiling: str
) -> list[Unit]:
    """Returns a unit, or none if the group `compile` does not have the choice."""
    if not (conf_dir() / "compile" / f"{compiling}.yaml").exists():
        return []
    options = {
        "kind": kind,
        "size": size,
        "seq_len": seq_len,
        "rows": rows,
        "dropout": dropout,
        "compiling": compiling,
    }
    name = f"{kind}, {size}, {seq_len} tokens, dropout {dropout:g}, compile={compiling}"
    limit = SECONDS if compiling == "off" else SECONDS_COMPILED
    return [Unit(name, "training_speed", limit, options)]


def _predicting(kind: str, seq_len: int, rows: int, precision: str) -> list[Unit]:
    """Returns a unit, or none if `clozekit predict` does not have the precision."""
    if precision != "32-true" and "precision" not in PredictConfig.model_fields:
        return []
    options = {
        "kind": kind,
        "size": "base",
        "seq_len": seq_len,
        "rows": rows,
        "precision": precision,
    }
    name = f"predict {kind}, base, {seq_len} tokens, {precision}"
    return [Unit(name, "prediction_speed", SECONDS, options)]
