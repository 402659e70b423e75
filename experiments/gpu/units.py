"""The units of each part, in the order of their worth: a run that is cut off has the best."""

from parts import Unit

SHARES = {"tests": 0.15, "pretraining": 0.65, "fine_tuning": 0.6, "text": 1.0}
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
    ("base", 128, 0.0, False),
    ("base", 128, 0.0, True),
    ("large", 128, 0.0, False),
    ("small", 128, 0.0, False),
    ("base", 512, 0.0, False),
    ("base", 128, 0.1, False),
    ("small", 128, 0.0, True),
    ("large", 128, 0.0, True),
    ("base", 512, 0.0, True),
    ("base", 128, 0.1, True),
    ("large", 512, 0.0, False),
    ("small", 512, 0.0, False),
    ("large", 128, 0.1, False),
    ("small", 128, 0.1, False),
    ("base", 512, 0.1, False),
    ("small", 128, 0.1, True),
    ("large", 128, 0.1, True),
    ("base", 512, 0.1, True),
    ("large", 512, 0.1, False),
    ("small", 512, 0.1, False),
    ("large", 512, 0.0, True),
    ("small", 512, 0.0, True),
    ("large", 512, 0.1, True),
    ("small", 512, 0.1, True),
)
"""Size, length, dropout, whether compiled."""

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
        return _toy_pretraining() if is_smoke else [_pretraining(*of) for of in PRETRAINING]
    if name == "fine_tuning":
        return _fine_tuning(is_smoke)
    options = {"text": text, "seconds_left": limit_s}
    return [Unit("BERT-small", "real_text", limit_s, options)]


def _pretraining(size: str, seq_len: int, dropout: float, is_compiled: bool) -> Unit:
    return _training("pretraining", size, seq_len, ROWS[size, seq_len], dropout, is_compiled)


def _toy_pretraining() -> list[Unit]:
    return [_training("pretraining", "base", 32, 4, 0.1, is_compiled=True)]


def _fine_tuning(is_smoke: bool) -> list[Unit]:
    if is_smoke:
        return [
            _training("classification", "base", 16, 4, 0.1, is_compiled=True),
            _training("questions", "base", 32, 4, 0.1, is_compiled=False),
            _predicting("classification", 16, 4),
            _predicting("questions", 32, 4),
        ]
    return [
        _training("classification", "base", 128, 32, 0.1, is_compiled=False),
        _predicting("classification", 128, 2048),
        _training("questions", "base", 384, 32, 0.1, is_compiled=False),
        _predicting("questions", 384, 512),
        _training("classification", "base", 128, 32, 0.1, is_compiled=True),
        _training("questions", "base", 384, 32, 0.1, is_compiled=True),
    ]


def _training(
    kind: str, size: str, seq_len: int, rows: int, dropout: float, is_compiled: bool
) -> Unit:
    compiled = "compiled" if is_compiled else "not compiled"
    options = {
        "kind": kind,
        "size": size,
        "seq_len": seq_len,
        "rows": rows,
        "dropout": dropout,
        "is_compiled": is_compiled,
    }
    name = f"{kind}, {size}, {seq_len} tokens, dropout {dropout:g}, {compiled}"
    return Unit(name, "training_speed", SECONDS_COMPILED if is_compiled else SECONDS, options)


def _predicting(kind: str, seq_len: int, rows: int) -> Unit:
    options = {"kind": kind, "size": "base", "seq_len": seq_len, "rows": rows}
    return Unit(f"predict {kind}, base, {seq_len} tokens", "prediction_speed", SECONDS, options)
