"""What people read: English as a string, Chinese where it is told."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po

from mintage.core import messages
from mintage.core.errors import DataError
from mintage.core.messages import Message, _, accepted, language_of, plural, speaking, told

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "mintage").rglob("*.py"))


def test_a_message_is_english_as_a_string_and_remembers_its_parts():
    message = _("{path} does not exist.", path="猫/1.jpg")
    assert message == "猫/1.jpg does not exist."
    assert (message.template, message.values) == ("{path} does not exist.", {"path": "猫/1.jpg"})


def test_of_one_another_sentence_is_said_than_of_many():
    def files(count: int) -> Message:
        return plural(count, _("{name}: one"), _("{name}: {count} in all"), name="a", count=count)

    assert [files(count) for count in (0, 1, 2)] == ["a: 0 in all", "a: one", "a: 2 in all"]
    assert files(1).values == {"name": "a", "count": 1}


def test_without_values_braces_are_braces():
    assert _('Write it as {"image": 1}.') == 'Write it as {"image": 1}.'


def test_a_value_that_is_a_message_is_told_in_the_same_language(monkeypatch):
    words = {"{path}: {reason}.": "{path}：{reason}。", "an empty file": "空文件"}
    _catalogue_of(monkeypatch, words)
    message = _("{path}: {reason}.", path="a.jpg", reason=_("an empty file"))
    assert told(message, "zh") == "a.jpg：空文件。"
    assert told(message, "en") == "a.jpg: an empty file."


def test_a_stored_english_sentence_is_recognised_by_its_template(monkeypatch):
    words = {"damaged in the zip ({error})": "压缩包内已损坏（{error}）", "an empty file": "空文件"}
    _catalogue_of(monkeypatch, words)
    assert told("damaged in the zip (bad CRC)", "zh") == "压缩包内已损坏（bad CRC）"
    assert told("an empty file", "zh") == "空文件"
    assert told("something else", "zh") == "something else"


def test_of_a_stored_sentence_names_are_left_alone_and_any_length_ends(monkeypatch):
    words = {"left out {path}: {reason}": "已排除 {path}：{reason}", "line {text}": "行 {text}"}
    _catalogue_of(monkeypatch, words | {"image": "张图片", "an empty file": "空文件"})
    assert told("left out image: an empty file", "zh") == "已排除 image：空文件"
    assert told("line " * 400 + "x", "zh").endswith("line x")


def test_what_has_no_translation_stays_english(monkeypatch):
    _catalogue_of(monkeypatch, {})
    assert told(_("{count} left", count=2), "zh") == "2 left"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "MINTAGE_LANG": "en"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "MINTAGE_LANG": "zh"}, "zh"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "MINTAGE_LANG": ""}, "zh"),
    ],
)
def test_the_environment_decides(monkeypatch, variables, expected):
    for name in ("MINTAGE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert messages.current() == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.1", "en"),
        ("fr, zh;q=0.5, en;q=0.4", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=nonsense, en", "en"),
        ("*", "en"),
    ],
)
def test_a_browser_s_header_decides(header, expected):
    assert accepted(header) == expected


def test_language_tags():
    assert [language_of(tag) for tag in ("zh_CN.UTF-8", "ZH-hans", "en", "C", "zha")] == [
        "zh",
        "zh",
        "en",
        None,
        None,
    ]


def test_an_error_is_told_in_the_reader_s_language(monkeypatch):
    _catalogue_of(monkeypatch, {"Nothing readable was found.": "没有可读的内容。"})
    error = DataError(_("Nothing readable was found."))
    with speaking("zh"):
        assert str(error) == "没有可读的内容。"
    with speaking("en"):
        assert str(error) == "Nothing readable was found."
    assert error.message == "Nothing readable was found."


def test_every_message_is_translated_and_the_catalogue_is_compiled():
    environment = {**os.environ, "COLUMNS": "96", "NO_COLOR": "1"}
    program = [sys.executable, str(ROOT / "tools" / "messages.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_a_translation_has_the_values_of_its_message():
    for message in _catalogue():
        ours, theirs = _fields(message.id), _fields(message.string)
        assert theirs == ours, f"{message.id!r} has {ours}, its translation {theirs}"


# The words of DESIGN's glossary: where the English stands, so does the Chinese.
GLOSSARY = {
    "workspace": "工作区",
    "dataset": "数据集",
    "recipe": "训练方案",
    "candidate": "候选模型",
    "bundle": "模型包",
    "customer": "客户",
    "receipt": "用量凭证",
    "audit log": "审计日志",
    "usage event": "用量事件",
}


@pytest.mark.parametrize(("english", "chinese"), GLOSSARY.items())
def test_the_glossary_is_kept(english, chinese):
    for message in _catalogue():
        words = re.sub(r"mintage [a-z-]+|\{.*?\}", "", f" {message.id.lower()} ")  # no commands
        if f" {english} " in words or f" {english}s " in words:
            assert chinese in message.string, f"{message.id!r} → {message.string!r}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_hides_the_translator(source):
    """A local variable called _ would make _() fail only where it is reached."""
    text = source.read_text(encoding="utf-8")
    if "import _" not in text and ", _" not in text:
        return
    tree = ast.parse(text)
    imported = any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "_" for alias in node.names)
        for node in ast.walk(tree)
    )
    bound = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.arg) and node.arg == "_")
    ]
    assert not (imported and bound), f"line {bound} binds _"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_people_read_can_be_translated(source):
    """Sentences given to an error or to the terminal are messages, not plain strings."""
    plain = [
        f"line {call.lineno}: {ast.unparse(given)}"
        for call in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and _speaks(call)
        for given in _spoken(call)
        if _is_sentence(given)
    ]
    assert not plain, plain


_ERRORS = {
    name
    for name, value in vars(importlib.import_module("mintage.core.errors")).items()
    if isinstance(value, type) and issubclass(value, Exception)
}


def _speaks(call: ast.Call) -> bool:
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name in _ERRORS | {"say", "warn", "line"}


def _spoken(call: ast.Call) -> list[ast.expr]:
    given = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "remedy")]
    return [
        part
        for each in given
        for part in ([each.body, each.orelse] if isinstance(each, ast.IfExp) else [each])
    ]


def _is_sentence(given: ast.expr) -> bool:
    if isinstance(given, ast.JoinedStr):
        return any(
            isinstance(part, ast.Constant) and any(c.isalpha() for c in str(part.value))
            for part in given.values
        )
    return (
        isinstance(given, ast.Constant)
        and isinstance(given.value, str)
        and any(c.isalpha() for c in given.value)
    )


def _fields(template: str) -> set[tuple[str, str, str | None]]:
    if "{" not in template:
        return set()
    try:
        parsed = list(Formatter().parse(template))
    except ValueError:  # braces of its own: a message without values
        return set()
    return {
        (name, spec or "", conversion)
        for __, name, spec, conversion in parsed
        if name is not None and name.isidentifier()
    }


def _catalogue():
    path = ROOT / "src/mintage/core/locale/zh/LC_MESSAGES/mintage.po"
    with path.open("rb") as stream:
        return [message for message in read_po(stream, locale="zh") if message.id]


def _catalogue_of(monkeypatch: pytest.MonkeyPatch, words: dict[str, str]) -> None:
    class Catalogue:
        _catalog = words

        def gettext(self, text: str) -> str:
            return words.get(text, text)

    monkeypatch.setattr(messages, "_catalogue", lambda language: Catalogue())
    messages._patterns.cache_clear()
    monkeypatch.setattr(messages, "_patterns", messages._patterns.__wrapped__)
    assert isinstance(_("x"), Message)
