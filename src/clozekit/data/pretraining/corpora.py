"""The corpora of a run: one, or several by name that are mixed."""

from collections.abc import Callable, Sequence
from functools import partial

from tokenizers import Tokenizer

from clozekit.config.cache import CacheConfig
from clozekit.config.data import CorpusDataConfig
from clozekit.corpus.fetch_ahead import FetchAhead
from clozekit.corpus.manifest import Corpus, Split
from clozekit.corpus.opening import open_corpora
from clozekit.corpus.shard_files import ShardFile, shard_files
from clozekit.corpus.shards import Shard
from clozekit.corpus.stored_corpus import StoredCorpus, StoredShardFile, check_cache
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.data.order import shard_order
from clozekit.errors import DataError
from clozekit.files import sha256_of


class Corpora:
    """The corpora of a run, in the order of their names. Their shards have one numbering.

    Args:
        config: The options of the data.

    Attributes:
        names: The name of each source of a mixture; empty for a single corpus.
        all: The corpora.

    Raises:
        DataError: A path is not a corpus, or the corpora have different tokenizers.
    """

    def __init__(self, config: CorpusDataConfig) -> None:
        self.names = tuple(config.weights)
        self.all = list(open_corpora(config.paths, config.cache).values())
        check_cache([c for c in self.all if isinstance(c, StoredCorpus)], config.cache)

    @property
    def is_local(self) -> bool:
        """Whether all corpora are local folders."""
        return not any(isinstance(corpus, StoredCorpus) for corpus in self.all)

    @property
    def hash(self) -> str:
        """A hexadecimal hash of the content of all corpora, and of their names in a mixture."""
        if not self.names:
            return self.all[0].hash
        parts = [f"{n} {c.hash}" for n, c in zip(self.names, self.all, strict=True)]
        return sha256_of(["\n".join(parts).encode()])

    def load_tokenizer(self) -> Tokenizer:
        """Loads the tokenizer, which all corpora share.

        Raises:
            DataError: The file has been changed, or does not fit the manifest.
        """
        for corpus in self.all:
            corpus.check_tokenizer()
        first = self.all[0]
        tokenizer = load_tokenizer(first.tokenizer_file)
        largest, size = max(tokenizer.get_vocab().values()), first.manifest.vocab_size
        if largest + 1 != size:
            raise DataError(
                f"{first.tokenizer_file} has ids up to {largest}, but the manifest has "
                f"vocab_size={size}"
            )
        return tokenizer

    def shards(self, split: Split) -> list[ShardFile]:
        """Returns the shards of a split, of one corpus after the other."""
        return [file for corpus in self.all for file in _files(corpus, split)]

    def ranges(self, split: Split) -> tuple[range, ...]:
        """Returns the indices of each corpus's shards among those of a split."""
        ranges, begin = [], 0
        for corpus in self.all:
            end = begin + len(corpus.manifest.splits[split].shards)
            ranges.append(range(begin, end))
            begin = end
        return tuple(ranges)

    def opener(
        self, split: Split, files: Sequence[ShardFile], seed: int, cache: CacheConfig
    ) -> "ShardOpener | None":
        """Returns what opens the shards of a split; None if all are local.

        Args:
            split: The split.
            files: Its shards.
            seed: The seed of their order.
            cache: Where the shards of a URL are kept.
        """
        if self.is_local:
            return None
        ranges = self.ranges(split)
        ahead = [
            _fetch_ahead(split, files[place.start : place.stop], seed, cache.ahead, place.start)
            if isinstance(corpus, StoredCorpus)
            else None
            for place, corpus in zip(ranges, self.all, strict=True)
        ]
        return ShardOpener(files, ranges, ahead)

    def place(self, index: int) -> str:
        """Returns the path of a corpus for messages, with its name in a mixture."""
        place = self.all[index].place
        return f"data.path.{self.names[index]}.path={place}" if self.names else place


class ShardOpener:
    """Opens the shards of a split, of which some are in a store and are fetched ahead.

    Args:
        files: The shards.
        ranges: The indices of each corpus's shards.
        ahead: For each corpus, what fetches its shards; None for a local one.
    """

    def __init__(
        self,
        files: Sequence[ShardFile],
        ranges: Sequence[range],
        ahead: Sequence[FetchAhead | None],
    ) -> None:
        self._files = files
        self._ranges = ranges
        self._ahead = ahead

    def open(self, epoch: int, shard: int) -> Shard:
        """Opens a shard, and begins to fetch those that follow.

        Raises:
            DataError: It cannot be fetched, or is not the one that the manifest describes.
        """
        for place, ahead in zip(self._ranges, self._ahead, strict=True):
            if shard in place and ahead is not None:
                return ahead.open(epoch, shard - place.start)
        return self._files[shard].open()


def following_shards(
    num_shards: int, seed: int, number: int, epoch: int, shard: int, first_shard: int = 0
) -> list[int]:
    """Returns the shards that training reads after one of them, in this epoch and the next.

    Args:
        num_shards: The number of shards of the corpus.
        seed: The seed of their order.
        number: The number of shards to return.
        epoch: The epoch.
        shard: The shard's index in its corpus.
        first_shard: The index of the corpus's first shard among those of all corpora.
    """
    order = shard_order(num_shards, seed, epoch, first_shard).tolist()
    later = order[order.index(shard) + 1 :]
    while len(later) < number:
        epoch += 1
        later += shard_order(num_shards, seed, epoch, first_shard).tolist()
    return [int(each) for each in later[:number]]


def estimated_samples(
    corpus: Corpus, shards: range, num_samples: Callable[[int, int], int]
) -> float:
    """Estimates the number of training samples of a corpus from its first shard that has any.

    Args:
        corpus: The corpus.
        shards: The indices of its shards among those of all corpora.
        num_samples: Returns the number of samples of (epoch, shard).
    """
    train = corpus.manifest.splits["train"]
    for shard, record in zip(shards, train.shards, strict=True):
        if found := num_samples(0, shard):
            return found * (train.tokens / record.tokens)
    return 0.0


def _files(corpus: Corpus, split: Split) -> Sequence[ShardFile]:
    if isinstance(corpus, StoredCorpus):
        return corpus.shard_files(split)
    return shard_files(corpus, split)


def _fetch_ahead(
    split: Split, files: Sequence[ShardFile], seed: int, number: int, first_shard: int
) -> FetchAhead:
    following = (
        partial(following_shards, len(files), seed, number, first_shard=first_shard)
        if split == "train"
        else partial(_following_in_order, len(files), number)
    )
    return FetchAhead([file for file in files if isinstance(file, StoredShardFile)], following)


def _following_in_order(num_shards: int, number: int, epoch: int, shard: int) -> list[int]:
    """Returns the shards that a validation reads after one of them."""
    return list(range(shard + 1, min(num_shards, shard + 1 + number)))
