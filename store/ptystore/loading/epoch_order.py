"""The order of frames in an epoch of training, as arithmetic: any stretch of it at any time.

Every order follows from a seed and an epoch's number through `numpy.random.SeedSequence`,
the raw words of `Philox` and integer arithmetic alone: all of these give the same values
with every release of numpy and on every machine. Memory does not grow with the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Philox, SeedSequence
from numpy.typing import NDArray

from ptystore.model.choices import Shuffle
from ptystore.model.lazy_array import Indices

__all__ = ["EpochOrder", "permuted"]

_PIECE = 1 << 14
_ROUNDS = 96

# What random words are drawn for.
_FULL, _SHARDS, _MIX = range(3)


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The frames of one rank's part of an epoch, in order.

    The whole epoch's order is the scan's own (``none``), that of its shards of `shard` frames
    in random order (``blocks``), or a random permutation of all frames (``full``). A rank's
    part is the positions ``rank * count // world_size`` up to the next rank's in that order,
    so that parts differ by one frame at most. Under ``blocks`` each run of `window` frames of
    a part is then permuted.
    """

    count: int
    shuffle: Shuffle
    seed: int
    epoch: int
    rank: int
    world_size: int
    batch_size: int
    shard: int
    window: int

    @property
    def begin(self) -> int:
        """The first of the rank's positions in the whole epoch's order."""
        return self.rank * self.count // self.world_size

    @property
    def length(self) -> int:
        """The number of frames of the rank."""
        return (self.rank + 1) * self.count // self.world_size - self.begin

    @property
    def piece(self) -> int:
        """Frames that are put in order together; whole batches."""
        target = self.window if self.shuffle == "blocks" else _PIECE
        return max(1, target // self.batch_size) * self.batch_size

    def frames(self, piece: int) -> Indices:
        """The frames of piece `piece`: positions ``piece * self.piece`` and on of the rank."""
        first = self.begin + piece * self.piece
        last = self.begin + min((piece + 1) * self.piece, self.length)
        positions = np.arange(first, last, dtype=np.int64)
        if self.shuffle == "none":
            return positions
        if self.shuffle == "full":
            return permuted(positions, self.count, self._seeds(_FULL))
        mixed = positions[_shuffled(len(positions), self._seeds(_MIX, first))]
        order, begins = self._shards
        at = np.searchsorted(begins, mixed, side="right") - 1
        return order[at] * self.shard + mixed - begins[at]

    @cached_property
    def _shards(self) -> tuple[Indices, Indices]:
        """The shards in their random order, and the position of the first frame of each."""
        order = _shuffled(-(-self.count // self.shard), self._seeds(_SHARDS))
        lengths = np.minimum(self.shard, self.count - order * self.shard)
        return order, np.cumsum(lengths) - lengths

    def _seeds(self, *purpose: int) -> SeedSequence:
        return SeedSequence(self.seed, spawn_key=(self.epoch, *purpose))


def _shuffled(count: int, seeds: SeedSequence) -> Indices:
    """A random permutation of a few numbers: one random word each, sorted by it."""
    return np.argsort(Philox(seeds).random_raw(count), kind="stable").astype(np.int64)


def permuted(positions: Indices, count: int, seeds: SeedSequence) -> Indices:
    """Where a random permutation of ``range(count)`` puts `positions`, each on its own.

    The swap-or-not shuffle (Hoang, Morris and Rogaway, CRYPTO 2012): in each round every
    number and its mirror image ``K - x (mod count)`` change places or not, by one bit that
    both compute alike. It needs no memory beside `positions` and any count will do.
    """
    words = seeds.generate_state(2 * _ROUNDS, np.uint64)
    mirrors, keys = words[:_ROUNDS] % np.uint64(count), words[_ROUNDS:]
    here = positions.astype(np.uint64)
    for mirror, key in zip(mirrors, keys, strict=True):
        there = mirror + np.uint64(count) - here
        there[there >= count] -= np.uint64(count)
        swap = _mixed(np.maximum(here, there) ^ key) >> np.uint64(63)
        here = np.where(swap, there, here)
    return here.astype(np.int64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on all."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
