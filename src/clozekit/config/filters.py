"""The configuration of document filters."""

from typing import Self

from pydantic import Field, model_validator

from clozekit.config.groups import Closed


class FiltersConfig(Closed):
    """Rules that a document must meet. A rule that is null is off.

    Words are lowercase and without punctuation; Chinese characters, and letters of other scripts
    without spaces, are words of their own.

    Attributes:
        min_words: The minimum number of words of a document; 50 in Gopher (Rae et al., 2021).
        max_words: The maximum number of words of a document; 100,000 in Gopher.
        max_symbol_word_ratio: The maximum number of hash signs, and of ellipses, per word; 0.1 in
            Gopher.
        max_duplicate_sentence_fraction: The maximum fraction of sentences that repeat an earlier
            sentence of the document; 0.3 in Gopher, for lines.
        max_top_2_gram_fraction: The maximum fraction of the document's letters in the most frequent
            pair of words, if it is repeated; 0.2 in Gopher.
        max_top_3_gram_fraction: The same for three words; 0.18 in Gopher.
        max_top_4_gram_fraction: The same for four words; 0.16 in Gopher.
        language: The ISO 639 code of the language that py3langid must identify, such as `en`.
        min_language_score: The minimum probability of the language; 0.65 in FineWeb, which uses
            another identifier.
        max_unknown_fraction: The maximum fraction of [UNK] among the document's tokens. Checked
            after the vocabulary is trained.
    """

    min_words: int | None = Field(None, ge=1)
    max_words: int | None = Field(None, ge=1)
    max_symbol_word_ratio: float | None = Field(None, ge=0, allow_inf_nan=False)
    max_duplicate_sentence_fraction: float | None = Field(None, ge=0, le=1)
    max_top_2_gram_fraction: float | None = Field(None, ge=0, le=1)
    max_top_3_gram_fraction: float | None = Field(None, ge=0, le=1)
    max_top_4_gram_fraction: float | None = Field(None, ge=0, le=1)
    language: str | None = Field(None, min_length=2)
    min_language_score: float | None = Field(None, ge=0, le=1)
    max_unknown_fraction: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError(
                f"min_words={self.min_words} is greater than max_words={self.max_words}"
            )
        if self.min_language_score is not None and self.language is None:
            raise ValueError(
                f"min_language_score={self.min_language_score} requires filters.language, such as "
                "filters.language=en"
            )
        return self
