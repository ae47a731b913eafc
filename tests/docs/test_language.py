"""The documentation and the docstrings are in plain language: short sentences, and no vague words."""

import ast
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "decisions").glob("*.md"),
]
MODULES = sorted((ROOT / "breakglass").rglob("*.py"))
MAX_WORDS = 35
"""The most words of one sentence. The average of a page is at most `AVERAGE_WORDS`."""
AVERAGE_WORDS = 25
AVOIDED = re.compile(r"\b(whoever|whomever|whatever|nobody|somebody|thereof|lest)\b", re.IGNORECASE)


def prose(page: Path) -> str:
    """Return the sentences of a page: no code, tables, headings and quoted examples."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not re.match(r"\||#|    |<!--|!\[|\*20", line)]
    return "\n".join(lines)


def sentences(text: str) -> list[str]:
    blocks = re.split(r"\n\s*\n|^\s*(?:\*|[0-9]+\.) ", text, flags=re.MULTILINE)
    found = [each for block in blocks for each in re.split(r"(?<=[.!?])\s+", " ".join(block.split()))]
    return [each for each in found if each]


def long_sentences(text: str) -> list[str]:
    return [each for each in sentences(text) if len(each.split()) > MAX_WORDS]


def docstrings(module: Path) -> list[str]:
    """Return the texts that stand alone in a module, without their indented diagrams."""
    found = [
        inspect.cleandoc(node.value.value)
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return ["\n".join(line for line in text.splitlines() if not line.startswith("    ")) for text in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_short_sentences(page: Path) -> None:
    lengths = [len(sentence.split()) for sentence in sentences(prose(page))]
    assert not lengths or sum(lengths) / len(lengths) <= AVERAGE_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_of_a_page_is_long(page: Path) -> None:
    assert long_sentences(prose(page)) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_no_sentence_of_a_docstring_is_long(module: Path) -> None:
    assert [each for text in docstrings(module) for each in long_sentences(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_avoids_vague_words(page: Path) -> None:
    assert AVOIDED.findall(prose(page)) == []
