"""The base score of a vulnerability by its CVSS vector.

Source: FIRST, Common Vulnerability Scoring System v3.1, Specification Document, section 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping

_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {
    "U": {"N": 0.85, "L": 0.62, "H": 0.27},
    "C": {"N": 0.85, "L": 0.68, "H": 0.5},
}
_VERSIONS = ("CVSS:3.0", "CVSS:3.1")


def base_score(vector: str) -> float | None:
    """0 to 10 of a vector of version 3.0 or 3.1; None where it is none of these."""
    version, *parts = vector.strip().split("/")
    said = dict(part.split(":", 1) for part in parts if ":" in part)
    if version not in _VERSIONS:
        return None
    try:
        weight = {name: weights[said[name]] for name, weights in _WEIGHTS.items()}
        changed = {"U": False, "C": True}[said["S"]]
        privileges = _PRIVILEGES[said["S"]][said["PR"]]
    except KeyError:
        return None
    unhurt = (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    if unhurt == 1:
        return 0.0
    hurt = 1 - unhurt
    impact = 7.52 * (hurt - 0.029) - 3.25 * (hurt - 0.02) ** 15 if changed else 6.42 * hurt
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    score = min(10.0, (1.08 if changed else 1.0) * (impact + exploitability))
    return _rounded_up(score) if impact > 0 else 0.0


def _rounded_up(score: float) -> float:
    """To one decimal, upward, by whole numbers (appendix A): 4.02 is 4.1, 4.00 stays 4.0."""
    parts = round(score * 100_000)
    return parts / 100_000 if parts % 10_000 == 0 else (parts // 10_000 + 1) / 10
