"""Mixtures: exact shares, epochs of each source alone, and positions that follow from the step."""

from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.mixing import Mixture, integer_weights, interleaving, mixed_batches
from clozekit.data.order import Cursor, Position, Span, global_batches, joined, part_of

WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any)


def sizes_of(epoch: int, shard: int) -> int:
    """The number of samples of a shard, which changes with the epoch as plans do."""
    return (7, 0, 4, 9, 5)[shard] + epoch % 2


MIXTURE = Mixture(("a", "b", "c"), (range(2), range(2, 3), range(3, 5)), (3, 1, 2))


def batches(
    size: int, number: int, start: Position | None = None, mixture: Mixture = MIXTURE
) -> list[tuple[list[Span], Position]]:
    return list(islice(mixed_batches(sizes_of, mixture, 5, start or Position(), size), number))


def named(spans: list[Span]) -> list[tuple[int, int, int]]:
    return [(span.epoch, span.shard, int(sample)) for span in spans for sample in span.samples]


def source_of(shard: int, mixture: Mixture = MIXTURE) -> int:
    return next(index for index, shards in enumerate(mixture.shards) if shard in shards)


@given(weights=WEIGHTS, number=st.integers(1, 300))
def test_from_the_first_sample_on_every_share_is_exact_to_one_sample(
    weights: list[int], number: int
) -> None:
    chosen = interleaving(weights, [0] * len(weights), number)
    for source, weight in enumerate(weights):
        counts = np.cumsum(chosen == source)
        shares = np.arange(1, number + 1) * weight / sum(weights)
        assert np.abs(counts - shares).max() < 1


@given(weights=WEIGHTS, begin=st.integers(0, 120), size=st.integers(1, 120))
def test_every_window_has_the_shares(weights: list[int], begin: int, size: int) -> None:
    window = interleaving(weights, [0] * len(weights), begin + size)[begin:]
    most = 1 if sum(weight > 0 for weight in weights) <= 2 else 2
    for source, weight in enumerate(weights):
        share = size * weight / sum(weights)
        assert abs(int((window == source).sum()) - share) <= most + 1e-9
        if size % sum(weights) == 0:
            assert int((window == source).sum()) == share


@given(weights=WEIGHTS, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_the_sources_do_not_depend_on_how_samples_are_batched(
    weights: list[int], sizes: list[int]
) -> None:
    drawn = [0] * len(weights)
    parts = []
    for size in sizes:
        parts.append(interleaving(weights, drawn, size))
        drawn = [n + int((parts[-1] == source).sum()) for source, n in enumerate(drawn)]
    whole = interleaving(weights, [0] * len(weights), sum(sizes))
    assert np.concatenate(parts).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((3, 1), (3, 1)),
        ((0.5, 1.5), (1, 3)),
        ((0.7, 0.2, 0.1), (7, 2, 1)),
        ((2.0, 0.0), (1, 0)),
        ((1e-9, 1e9), (1, 10**18)),
    ],
)
def test_weights_become_the_smallest_integers(
    weights: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    assert integer_weights(weights) == expected


def test_a_source_that_is_exhausted_begins_its_next_epoch_alone() -> None:
    seen: list[tuple[int, int, int]] = []
    positions = []
    for spans, position in batches(6, 20):
        seen += named(spans)
        positions.append(position)
    of_epochs = Counter((source_of(shard), epoch) for epoch, shard, _ in seen)
    # b has 4 or 5 samples an epoch and gives one in six, a has 7 to 9 and gives one in two.
    assert of_epochs[1, 0] == 4 and of_epochs[0, 0] == 7 and of_epochs[2, 0] == 14
    assert positions[-1].cursors[0].epoch > positions[-1].cursors[1].epoch
    assert positions[-1].epoch == min(cursor.epoch for cursor in positions[-1].cursors)
    # No sample is left out of an epoch, and none comes twice.
    assert len(seen) == len(set(seen)) == 120
    for (source, epoch), number in of_epochs.items():
        later = any(s == source and e > epoch for s, e in of_epochs)
        whole = sum(sizes_of(epoch, shard) for shard in MIXTURE.shards[source])
        assert number == whole if later else number <= whole


@given(size=st.integers(1, 9), done=st.integers(0, 15))
def test_the_stream_goes_on_from_any_step(size: int, done: int) -> None:
    whole = batches(size, 16)
    start = whole[done - 1][1] if done else Position()
    restored = Position.from_dict(start.as_dict())
    assert restored == start
    rest = batches(size, 16 - done, restored)
    assert [(named(spans), position) for spans, position in rest] == [
        (named(spans), position) for spans, position in whole[done:]
    ]


@given(size=st.integers(4, 24), accumulation=st.integers(1, 2))
def test_a_batch_is_the_same_on_any_number_of_processes(size: int, accumulation: int) -> None:
    for spans, _ in batches(size, 5):
        for world_size in (1, 2):
            parts = accumulation * world_size
            shared = [joined(part_of(spans, part, parts)) for part in range(parts)]
            assert sorted(chain(*map(named, shared))) == sorted(named(spans))
            assert {sum(map(len, part)) for part in shared} <= {size // parts, -(-size // parts)}


def test_a_part_of_a_batch_has_the_shares_too() -> None:
    ((spans, _),) = batches(12, 1)
    for part in range(2):
        counts = Counter(source_of(s) for _, s, _ in named(part_of(spans, part, 2)))
        assert counts == {0: 3, 1: 1, 2: 2}


def test_the_first_source_has_the_order_that_it_has_alone() -> None:
    alone = islice(global_batches(sizes_of, 2, 5, Position(), 3), 6)
    expected = list(chain(*(named(spans) for spans, _ in alone)))
    mixed = chain(*(named(spans) for spans, _ in batches(6, 6)))
    assert [sample for sample in mixed if source_of(sample[1]) == 0] == expected


def test_a_source_without_weight_is_not_opened() -> None:
    def num_samples(epoch: int, shard: int) -> int:
        assert shard != 2
        return sizes_of(epoch, shard)

    mixture = Mixture(MIXTURE.names, MIXTURE.shards, (1, 0, 1))
    stream = mixed_batches(num_samples, mixture, 5, Position(), 4)
    _, position = list(islice(stream, 3))[-1]
    assert position.cursors[1] == Cursor() and position.epoch == position.cursors[0].epoch


def test_shares_go_on_across_a_change_of_phase_unless_the_weights_change() -> None:
    position = batches(5, 3)[-1][1]
    drawn = [cursor.drawn for cursor in position.cursors]
    kept = position.in_phase(1, continues_epoch=True, keeps_shares=True)
    assert (kept.cursors, kept.phase, kept.epoch) == (position.cursors, 1, position.epoch)
    anew = position.in_phase(1, continues_epoch=True, keeps_shares=False)
    assert [c.drawn for c in anew.cursors] == [0, 0, 0]
    assert [(c.epoch, c.slot, c.offset) for c in anew.cursors] == [
        (c.epoch, c.slot, c.offset) for c in position.cursors
    ]
    longer = position.in_phase(2, continues_epoch=False, keeps_shares=True)
    assert longer.cursors == tuple(
        Cursor(c.epoch + 1, drawn=n) for c, n in zip(position.cursors, drawn, strict=True)
    )
    assert (longer.step, longer.epoch) == (3, position.epoch + 1)


def test_a_position_without_a_mixture_is_saved_as_before() -> None:
    position = Position(3, 1, 0, 4, 1)
    expected = {"step": 3, "epoch": 1, "slot": 0, "offset": 4, "phase": 1}
    assert position.as_dict() == expected and Position.from_dict(expected) == position
