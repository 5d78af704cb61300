"""Random draws as Spark expressions, each a pure function of (seed, purpose, keys).

No draw depends on the order of rows or on their partition, so a frame of draws is the same on any cluster. The source of
randomness is xxhash64, salted per purpose; every distribution is sampled by inverting its distribution function, or
exactly from several uniforms. Draws of different purposes, or of different keys, are independent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pyspark.sql import Column
from pyspark.sql import functions as F

_BITS = 52
"""Bits of a hash that make a uniform: with the half that is added, the most that a double holds without reaching 1."""


@dataclass(frozen=True)
class Draws:
    """Draws of one seed. `purpose` says what a draw is for; `keys` whom it is about: bigint or int columns."""

    seed: int

    def uniform(self, purpose: str, *keys: Column) -> Column:
        """Uniform on the open interval (0, 1), so that its logarithm is finite."""
        salt = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()[:8]
        mixed = F.xxhash64(F.lit(int.from_bytes(salt, "big", signed=True)), *(key.cast("bigint") for key in keys))
        return (F.shiftrightunsigned(mixed, 64 - _BITS) + F.lit(0.5)) * F.lit(2.0**-_BITS)

    def happens(self, probability: float, purpose: str, *keys: Column) -> Column:
        """True with the probability."""
        return self.uniform(purpose, *keys) < probability

    def integer(self, below: int, purpose: str, *keys: Column) -> Column:
        """Uniform on 0, 1, …, below - 1."""
        return F.floor(self.uniform(purpose, *keys) * below).cast("int")

    def choice(self, weights: Sequence[float], purpose: str, *keys: Column) -> Column:
        """An index of `weights`, each with a probability in proportion to its weight."""
        bounds = [bound / math.fsum(weights) for bound in accumulate(weights)][:-1]
        value = self.uniform(purpose, *keys)
        return sum(((value >= bound).cast("int") for bound in bounds), start=F.lit(0))

    def normal(self, purpose: str, *keys: Column) -> Column:
        """Standard normal (Box and Muller 1958)."""
        radius = F.sqrt(-2 * F.log(self.uniform(f"{purpose}/radius", *keys)))
        return radius * F.cos(2 * math.pi * self.uniform(f"{purpose}/angle", *keys))

    def erlang(self, shape: int, purpose: str, *keys: Column) -> Column:
        """Gamma of a whole `shape` and mean 1: the mean of `shape` standard exponentials."""
        uniforms = [self.uniform(f"{purpose}/{part}", *keys) for part in range(shape)]
        return sum((-F.log(uniform) for uniform in uniforms), start=F.lit(0.0)) / shape

    def geometric(self, mean: float, purpose: str, *keys: Column) -> Column:
        """1, 2, 3, … trials until the first success; `mean` > 1."""
        return (F.floor(F.log(self.uniform(purpose, *keys)) / math.log1p(-1 / mean)) + 1).cast("int")
