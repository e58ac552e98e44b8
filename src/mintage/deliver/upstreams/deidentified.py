"""What leaves without personal data: texts of a request replaced, those of its answer put back.

Texts are looked for wherever they stand, so that a member that is new to the API is not passed
over. Left as they are: addresses of pictures, and what is in base64. Numbers are no texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.trust.deidentify.placeholders import Placeholders, StreamedText

_ADDRESSES: Final = ("image_url", "video_url", "audio_url")
"""Members whose value is where a picture, or the like, is; also inside ``url``."""
_WITH_ADDRESS: Final = (*_ADDRESSES, "input_image")
_BASE64 = re.compile(r"(?:data:[\w.+/;=-]{0,200},)?[A-Za-z0-9+/]{256,}={0,2}", re.ASCII)
_NO_TEXT: Final = ("role", "id", "type", "finish_reason", "logprobs")
"""Members of a part of a stream which are whole in it."""
_Step = str | tuple[str, int]
_Path = tuple[_Step, ...]


class Deidentified:
    """A request's ``body`` without personal data, and what its answer becomes again.

    Raises:
        RequestError: a prompt is tokens, which nobody can look into; or the body is too deep.
    """

    def __init__(self, body: Mapping[str, Any], kinds: tuple[str, ...]) -> None:
        placeholders = Placeholders(kinds)
        try:
            _check_texts(body)
            for text in _texts(body):
                placeholders.keep(text)
            self.body: dict[str, Any] = _changed(body, placeholders.replaced)
        except RecursionError as error:
            raise RequestError(
                _("The body is nested too deeply."), remedy=_("Send it with fewer levels.")
            ) from error
        self._placeholders = placeholders

    @property
    def said(self) -> str:
        """How many values of each kind were replaced: ``email=2, phone=1``."""
        counts = self._placeholders.counts
        return ", ".join(f"{kind}={count}" for kind, count in sorted(counts.items()))

    def whole(self, document: dict[str, Any]) -> dict[str, Any]:
        """An answer as the customer gets it."""
        if not self._placeholders.counts:
            return document
        found: dict[str, Any] = _changed(document, self._placeholders.restored)
        return found

    def stream(self) -> RestoredStream | None:
        """What takes the parts of a streamed answer; None where nothing was replaced."""
        return RestoredStream(self._placeholders) if self._placeholders.counts else None


class RestoredStream:
    """The parts of a streamed answer as the customer gets them.

    Each text grows by itself: of each choice, and of each of its tool calls. What may begin a
    placeholder waits for the next part; it leaves before its choice ends, or with the stream.
    """

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._texts: dict[int, dict[_Path, StreamedText]] = {}
        self._last: dict[str, Any] = {}

    def parts(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """What leaves for one part, which is changed."""
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return [chunk]
        self._last, held = chunk, list[dict[str, Any]]()
        for number, choice in enumerate(choices):
            if not isinstance(choice, dict):
                continue
            index = choice.get("index", number)
            index = index if isinstance(index, int) else number
            ends = bool(choice.get("finish_reason"))
            self._feed(self._texts.setdefault(index, {}), choice, (), ends=ends)
            if ends:
                held += self._held(index)
        return [*held, chunk]

    def rests(self) -> list[dict[str, Any]]:
        """What leaves when the stream has ended."""
        return [part for index in self._texts for part in self._held(index)]

    def _feed(
        self, texts: dict[_Path, StreamedText], value: dict[str, Any], path: _Path, *, ends: bool
    ) -> None:
        for name, each in value.items():
            here = (*path, name)
            if name in _NO_TEXT:
                continue
            if isinstance(each, str):
                text = texts.setdefault(here, StreamedText(self._placeholders))
                value[name] = text.feed(each) + (text.rest() if ends else "")
            elif isinstance(each, dict):
                self._feed(texts, each, here, ends=ends)
            elif isinstance(each, list):
                for place, element in enumerate(each):
                    if isinstance(element, dict):
                        self._feed(texts, element, (*here, _place_of(element, place)), ends=ends)
                    else:
                        each[place] = _changed(element, self._placeholders.restored)

    def _held(self, index: int) -> Iterator[dict[str, Any]]:
        """A part for each text of a choice of which something was held."""
        head = {name: each for name, each in self._last.items() if name != "usage"}
        for path, text in self._texts[index].items():
            rest = text.rest()
            if rest:
                choice = {"index": index, **_at(path, rest), "finish_reason": None}
                yield {**head, "choices": [choice]}


def _place_of(element: dict[str, Any], place: int) -> _Step:
    """Which of a list's elements it is: as it says itself, since a part has only some of them."""
    index = element.get("index")
    return ("index", index) if isinstance(index, int) else ("", place)


def _at(path: _Path, text: str) -> dict[str, Any]:
    """A choice that has only this text, where its path says."""
    value: Any = text
    for step in reversed(path):
        if isinstance(step, str):
            value = {step: value}
        else:
            name, place = step
            value = [({name: place} if name else {"type": "text"}) | value]
    found: dict[str, Any] = value
    return found


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """The same with every text changed, names of members, too."""
    if isinstance(value, str):
        return value if _is_base64(value) else change(value)
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    if isinstance(value, Mapping):
        left = _ADDRESSES if value.get("type") in _WITH_ADDRESS else ()
        return {
            change(name): _without_address(each, change) if name in left else _changed(each, change)
            for name, each in value.items()
        }
    return value


def _without_address(value: Any, change: Callable[[str], str]) -> Any:
    """A picture's member: its address as it is, whatever else it has changed."""
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else _changed(value, change)
    return {
        change(name): each if name == "url" and isinstance(each, str) else _changed(each, change)
        for name, each in value.items()
    }


def _texts(value: Any) -> Iterator[str]:
    """Every text, names of members, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield name
            yield from _texts(each)


def _is_base64(text: str) -> bool:
    """Whether it is so long without a space or a stop that it is no text: a picture's data."""
    if _BASE64.fullmatch(text) is None:
        return False
    return not (text.isdecimal() or text.islower() or text.isupper())


def _check_texts(body: Mapping[str, Any]) -> None:
    for name in ("prompt", "input"):
        if _has_tokens(body.get(name)):
            raise RequestError(
                _("{field!r} is tokens, in which personal data cannot be replaced.", field=name),
                remedy=_("Send it as text."),
            )


def _has_tokens(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return any(isinstance(each, int) or _has_tokens(each) for each in value)
