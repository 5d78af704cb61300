"""Confidence intervals of shares.

Wilson's score interval (Wilson 1927) of k successes in n trials: (p + z²/2n ± z·√(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with p = k/n. Unlike
p ± z·√(p(1 - p)/n) it holds its level where n is small or p near 0 or 1, and stays within 0 and 1.
"""

from __future__ import annotations

import math

from scipy.stats import norm


def wilson_interval(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper bound of the share. Raises ValueError without a trial."""
    if trials <= 0:
        raise ValueError("an interval of a share needs at least one trial")
    share, z = successes / trials, float(norm.ppf((1 + level) / 2))
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
