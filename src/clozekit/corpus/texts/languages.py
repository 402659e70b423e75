"""Identifies the language of text with py3langid, whose model is part of the package."""

from functools import lru_cache
from typing import Any

from clozekit.errors import ConfigError


def check_language(language: str) -> None:
    """Checks that the identifier is installed and knows a language.

    Raises:
        ConfigError: It is not installed, or does not know the language.
    """
    known = _identifier().labels
    if language not in known:
        raise ConfigError(
            f"filters.language={language} is not a language that py3langid identifies; it knows "
            f"{', '.join(sorted(known))}"
        )


def identify_language(text: str) -> tuple[str, float]:
    """Returns the ISO 639 code of a text's language, and its probability."""
    language, probability = _identifier().classify(text)
    return language, probability


@lru_cache(maxsize=1)
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise ConfigError(
            "filters.language requires the package py3langid: run pip install 'clozekit[language]'"
        ) from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
