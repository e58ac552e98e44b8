"""What stands in the end about each picture, of all that was decided about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mintage.core.messages import _
from mintage.sources.decisions import Decision


@dataclass(frozen=True)
class Final:
    """What a picture is labelled with in the end, or why it has no label."""

    label: str | None
    reason: str = ""


@dataclass
class _Picture:
    """What stands about one picture; all of it is about the same bytes."""

    sha256: str
    opinions: dict[str, list[Decision]] = field(default_factory=dict)
    resolutions: list[Decision] = field(default_factory=list)


class Book:
    """Every decision that stands, by picture."""

    def __init__(self) -> None:
        self._pictures: dict[str, _Picture] = {}
        self._standing: dict[str, list[Decision]] = {}

    def add(self, decision: Decision) -> bool:
        """Take a decision in; False if there is nothing that it could undo.

        One about other bytes than those before it sets aside what was said of those.
        """
        picture = self._pictures.get(decision.path)
        if picture is None or picture.sha256 != decision.sha256:
            if decision.action == "undo":
                return False
            picture = self._pictures[decision.path] = _Picture(decision.sha256)
        mine = self._standing.setdefault(decision.labeller, [])
        if decision.action == "undo":
            return self._undo(picture, mine, decision.path)
        mine.append(decision)
        if decision.action == "resolve":
            picture.resolutions.append(decision)
        else:
            picture.opinions.setdefault(decision.labeller, []).append(decision)
        return True

    def _undo(self, picture: _Picture, mine: list[Decision], path: str) -> bool:
        found = (n for n in reversed(range(len(mine))) if mine[n].path == path)
        last = next((n for n in found if mine[n].sha256 == picture.sha256), None)
        if last is None:
            return False
        undone = mine.pop(last)
        if undone.action == "resolve":
            picture.resolutions.remove(undone)
            return True
        picture.opinions[undone.labeller].pop()
        if not picture.opinions[undone.labeller]:
            del picture.opinions[undone.labeller]
        return True

    def set_aside(self, path: str) -> None:
        """Forget what was said of a picture whose bytes are others now."""
        self._pictures.pop(path, None)

    def __iter__(self) -> Iterator[str]:
        """The paths of all pictures that anything was ever said of, in that order."""
        return iter(self._pictures)

    def __contains__(self, path: object) -> bool:
        return path in self._pictures

    def sha256(self, path: str) -> str:
        """Which bytes the decisions about a picture are about."""
        return self._pictures[path].sha256

    def latest(self, path: str) -> str:
        """The time of the newest decision that stands about a picture, or ''."""
        picture = self._pictures[path]
        stacks = (*picture.opinions.values(), picture.resolutions)
        return max((each.time for stack in stacks for each in stack), default="")

    def opinions(self, path: str) -> dict[str, str | None]:
        """Each labeller's own label of a picture, None where they skipped it."""
        picture = self._pictures.get(path)
        if picture is None:
            return {}
        return {name: stack[-1].label for name, stack in picture.opinions.items()}

    def labels(self, path: str) -> dict[str, str]:
        """Each labeller's own label of a picture, without those who skipped it."""
        return {name: said for name, said in self.opinions(path).items() if said is not None}

    def resolution(self, path: str) -> str | None:
        """The label by which a disagreement was resolved; the latest counts."""
        picture = self._pictures.get(path)
        return picture.resolutions[-1].label if picture and picture.resolutions else None

    def is_disputed(self, path: str) -> bool:
        """Whether labellers disagree about a picture and nobody has resolved it."""
        return self.resolution(path) is None and len(set(self.labels(path).values())) > 1

    def last(self, labeller: str) -> Decision | None:
        """The labeller's newest decision that stands: the one that an undo is about."""
        for decision in reversed(self._standing.get(labeller, [])):
            picture = self._pictures.get(decision.path)
            if picture is not None and picture.sha256 == decision.sha256:
                return decision
        return None

    def final(self, path: str) -> Final | None:
        """The resolution, else the label that most labellers gave; None if nothing stands."""
        if (resolved := self.resolution(path)) is not None:
            return Final(resolved)
        opinions, labels = self.opinions(path), self.labels(path)
        if not opinions:
            return None
        if not labels:
            return Final(None, _("skipped by {labellers}", labellers=", ".join(sorted(opinions))))
        counted = Counter(labels.values()).most_common()
        if len(counted) > 1 and counted[0][1] == counted[1][1]:
            said = ", ".join(f"{name}: {label}" for name, label in sorted(labels.items()))
            return Final(None, _("labellers disagree evenly ({said}); resolve it", said=said))
        return Final(counted[0][0])

    def used(self) -> Counter[str]:
        """How many pictures each label stands for, by anybody."""
        counted = Counter[str]()
        for path in self._pictures:
            resolved = self.resolution(path)
            counted.update({*self.labels(path).values(), *([resolved] if resolved else [])})
        return counted
