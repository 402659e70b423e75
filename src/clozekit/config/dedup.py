"""The configuration of deduplication."""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from clozekit.config.groups import Closed

MOST_HASHES = 1024


class ExactDedup(Closed):
    """Keeps the first of the documents whose text is equal, apart from whitespace."""

    method: Literal["exact"] = "exact"


class NoDedup(Closed):
    """Keeps all documents."""

    method: Literal["none"] = "none"


class NearDedup(Closed):
    """Drops duplicates as `exact` does, and documents that are similar to an earlier one.

    The similarity is the Jaccard index of the sets of n-grams of two documents. It is estimated
    with MinHash for the pairs that locality-sensitive hashing finds. The threshold is
    `(1 / num_buckets) ** (1 / hashes_per_bucket)`.

    Attributes:
        ngram_size: The number of consecutive words of an n-gram.
        num_buckets: The number of buckets (bands) of MinHash values. Two documents are compared if
            all values of at least one bucket are equal. More buckets lower the threshold.
        hashes_per_bucket: The number of MinHash values of a bucket (rows of a band). More values
            raise the threshold.
    """

    method: Literal["near"] = "near"
    ngram_size: int = Field(5, ge=1, le=100)
    num_buckets: int = Field(14, ge=1, le=MOST_HASHES)
    hashes_per_bucket: int = Field(8, ge=1, le=MOST_HASHES)

    @model_validator(mode="after")
    def _check_num_hashes(self) -> Self:
        if self.num_hashes > MOST_HASHES:
            raise ValueError(
                f"num_buckets={self.num_buckets} times hashes_per_bucket={self.hashes_per_bucket} "
                f"is {self.num_hashes:,} hashes per document; at most {MOST_HASHES:,} are allowed"
            )
        return self

    @property
    def num_hashes(self) -> int:
        """The number of MinHash values of a document."""
        return self.num_buckets * self.hashes_per_bucket

    @property
    def threshold(self) -> float:
        """The similarity at which the probability to compare two documents rises most steeply."""
        return float((1 / self.num_buckets) ** (1 / self.hashes_per_bucket))


DedupConfig: TypeAlias = ExactDedup | NearDedup | NoDedup
