"""Whether calls take longer in one setting than in another, on a machine that is never quiet.

Both settings take turns in batches, so that whatever else the machine does hits both alike. `on` and `off` are lists
of batches, a batch is a list of milliseconds. A quantile is called different when both hold:

- effect: it is higher by more than the spread of the calls without the setting (their 5 % to 95 %), and by more than
  a time slice, which programs that share a processor cost each other although none waits for another;
- chance: of all ways to deal the same batches out to the two settings, fewer than one in a thousand show as much. Whole
  batches are dealt, because calls of one moment are slow together: a rank test of single calls would count them as if
  they were independent.
"""

import itertools
import math
import random

QUANTILES = (0.5, 0.95)
DEALS = 3000
SLICE = 4.0


def quantile(values, q):
    """Of sorted values, linear between the two nearest."""
    place = q * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def pooled(batches):
    return sorted(itertools.chain.from_iterable(batches))


def shifts(on, off):
    return {q: quantile(on, q) - quantile(off, q) for q in QUANTILES}


class Comparison:
    """`differs`: the quantiles that do. str() shows both distributions."""

    def __init__(self, on, off, seed=1):
        self.on, self.off = pooled(on), pooled(off)
        self.noise = max(quantile(self.off, 0.95) - quantile(self.off, 0.05), SLICE)
        self.shift = shifts(self.on, self.off)
        self.chance = self._chances(list(on) + list(off), len(on), random.Random(seed))
        self.differs = [q for q in QUANTILES if self.shift[q] > self.noise and self.chance[q] < 0.001]

    def _chances(self, batches, size, rng):
        """For each quantile the share of deals that shift it as much, the one seen among them. Once twenty others did,
        more deals would not make it rare."""
        as_high = dict.fromkeys(QUANTILES, 1)
        deals = 1
        while deals < DEALS and min(as_high.values()) <= 20:
            dealt = rng.sample(batches, len(batches))
            deals += 1
            for q, shift in shifts(pooled(dealt[:size]), pooled(dealt[size:])).items():
                as_high[q] += shift >= self.shift[q]
        return {q: count / deals for q, count in as_high.items()}

    def __str__(self):
        shown = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        lines = ["        " + "".join(f"{q:>9.0%}" for q in shown)]
        for name, values in (("on", self.on), ("off", self.off)):
            lines.append(f"  {name:<4}{len(values):>5}" + "".join(f"{quantile(values, q):>7.2f}ms" for q in shown))
        for q in QUANTILES:
            lines.append(f"  {q:.0%}: {self.shift[q]:+.2f} ms, chance {self.chance[q]:.3f}; noise {self.noise:.2f} ms")
        return "\n".join(lines)
