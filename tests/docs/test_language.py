"""The documentation is in plain language: short sentences, and no vague words."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "decisions").glob("*.md"),
]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_short_sentences(page: Path) -> None:
    lengths = [len(sentence.split()) for sentence in sentences(prose(page))]
    assert not lengths or sum(lengths) / len(lengths) <= 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_avoids_vague_words(page: Path) -> None:
    assert AVOIDED.findall(prose(page)) == []
