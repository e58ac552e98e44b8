"""How far labellers agree, and how much of that chance alone would bring.

A unit is what several people labelled; labels are names without an order (nominal).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Two labellers on the units that both labelled."""

    labellers: tuple[str, str]
    units: int
    agreed: float
    kappa: float | None

    def to_json(self) -> dict[str, Any]:
        """The pair as it stands in JSON answers."""
        return vars(self) | {"labellers": list(self.labellers)}


@dataclass(frozen=True)
class Agreement:
    """All labellers on the ``units`` that at least two labelled.

    ``agreed`` is the share of them on which all who labelled it say the same.
    """

    units: int
    agreed: float
    alpha: float | None
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """The agreement as it stands in JSON answers."""
        return vars(self) | {"pairs": [pair.to_json() for pair in self.pairs]}


def agreement(units: Collection[Mapping[str, str]]) -> Agreement | None:
    """The agreement over units, each the label by labeller; None where no two labelled one."""
    shared = [unit for unit in units if len(unit) > 1]
    if not shared:
        return None
    together: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for unit in shared:
        for one, other in combinations(sorted(unit), 2):
            together.setdefault((one, other), []).append((unit[one], unit[other]))
    pairs = []
    for labellers, said in sorted(together.items()):
        share = sum(one == other for one, other in said) / len(said)
        pairs.append(Pair(labellers, len(said), share, cohen_kappa(said)))
    return Agreement(
        units=len(shared),
        agreed=sum(len(set(unit.values())) == 1 for unit in shared) / len(shared),
        alpha=krippendorff_alpha([tuple(unit.values()) for unit in shared]),
        pairs=tuple(pairs),
    )


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """(observed - expected) / (1 - expected) of two labellers' labels of the same units.

    Expected is the agreement of two who label by chance, each with their own shares of the labels
    (Cohen 1960, Educational and Psychological Measurement 20:37). None where that is certain:
    both use one label alone, or there are no units.
    """
    count = len(pairs)
    first, second = Counter(one for one, __ in pairs), Counter(other for __, other in pairs)
    # In whole numbers, both times count squared: whether they differ is then no matter of rounding.
    expected = sum(first[label] * second[label] for label in first)
    observed = count * sum(one == other for one, other in pairs)
    return (observed - expected) / (count**2 - expected) if expected < count**2 else None


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """1 - observed / expected disagreement of any number of labellers, with units left out.

    Each unit of m labels gives every ordered pair of them with weight 1 / (m - 1); with o the sum
    of the weights of equal pairs, n of all, and n_c of those that begin with c, it is
    1 - (n - 1) (n - o) / (n² - sum n_c²) (Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability, section B, nominal data). None where there is but one label, or no unit
    with two.
    """
    totals = Counter[str]()
    differing = 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        counted = Counter(unit)
        totals += counted
        equal = sum(each * (each - 1) for each in counted.values())
        differing += len(unit) - equal / (len(unit) - 1)
    count = totals.total()
    chance = count**2 - sum(each**2 for each in totals.values())
    return 1 - (count - 1) * differing / chance if chance else None
