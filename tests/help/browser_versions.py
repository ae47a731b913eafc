"""Which names of the web are newer than the oldest browsers that the page promises, and which of them the page uses.

`python -m tests.help.browser_versions data.json` writes the table again, from the file of the npm package
`@mdn/browser-compat-data`. A name of the table is newer in every interface that has it. So a name that an old interface
has too is not found: `at` of a new interface hides behind the `at` of arrays.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OLDEST = {"safari_ios": 16.0, "chrome_android": 108.0}
"""The oldest versions that the page promises (README.md)."""
NEVER = 1e6
TABLE = Path(__file__).with_suffix(".txt")
STATIC = Path(__file__).resolve().parents[2] / "breakglass" / "web" / "page" / "static"

Versions = dict[str, float]
_COMMENT = re.compile(r"/\*.*?\*/|(?m:^|(?<=\s))//[^\n]*", re.DOTALL)
_MEMBER = re.compile(r"(?<=\.)[A-Za-z]\w*|(?<![\w.'\"$-])[A-Z]\w+(?=[.(;,)?\s])")
_OF_INTERFACE = re.compile(r"(?<![\w.])(?:[A-Z]\w+|navigator|document)\.[a-z]\w*")
_LISTENER = re.compile(r"""addEventListener(?:\?\.)?\(["'](\w+)""")
_PROPERTY = re.compile(r"(?<=[{;(\s])([a-z-]+)\s*:\s*([^;{}]+)")
_SELECTOR = re.compile(r"::?([a-z-]+)")
_AT_RULE = re.compile(r"@([a-z-]+)|\(([a-z-]+):")
_FUNCTION = re.compile(r"([a-z-]+)\(")
_UNIT = re.compile(r"(?<![\w#])\.?\d[\d.]*([a-z]+)\b")


def names_of(data: dict[str, Any]) -> Iterator[tuple[str, Versions]]:
    """Yield each name of the compatibility data, with its kind before it, and since when the browsers have it."""
    yield from _script_names(data["api"])
    for name, members in data["javascript"]["builtins"].items():
        yield f"js {name}", _since(members)
        for member, node in members.items():
            yield f"js {member}", _since(node)
    yield from _style_names(data["css"])


def _script_names(api: dict[str, Any]) -> Iterator[tuple[str, Versions]]:
    for interface, members in api.items():
        yield f"js {interface}", _since(members)
        for member, node in members.items():
            name, is_static = member.removesuffix("_static"), member.endswith("_static")
            is_event = member.endswith("_event")
            yield f"event {member[:-6]}" if is_event else f"js {name}", _since(node)
            if is_static or interface in ("Navigator", "Document"):
                yield f"js {interface}.{name}", _since(node)


def _style_names(css: dict[str, Any]) -> Iterator[tuple[str, Versions]]:
    for name, values in css["properties"].items():
        yield f"property {name}", _since(values)
        for value, node in values.items():
            yield f"value {name}: {value}", _since(node)
    for name, selector in css["selectors"].items():
        yield f"selector {name}", _since(selector)
    for group, kind in (("at-rules", "at"), ("types", "type")):
        for name, parts in css[group].items():
            yield f"{kind} {name}", _since(parts)
            for part, node in parts.items():
                yield f"{kind} {part}", _since(node)


def _since(node: dict[str, Any]) -> Versions:
    support = node.get("__compat", {}).get("support", {})
    return {browser: min(map(_version, _listed(support.get(browser)))) for browser in OLDEST}


def _listed(statements: Any) -> list[dict[str, Any]]:
    listed = statements if isinstance(statements, list) else [statements or {}]
    plain = [one for one in listed if not {"flags", "prefix", "alternative_name"} & set(one)]
    return plain or [{}]


def _version(statement: dict[str, Any]) -> float:
    added = str(statement.get("version_added", ""))
    number = re.match(r"≤?(\d+(?:\.\d+)?)", added)
    return float(number[1]) if number else NEVER


def newer(data: dict[str, Any]) -> dict[str, list[float]]:
    """Return the names that the oldest browsers lack, with the versions that first have them, iOS first."""
    first: dict[str, Versions] = {}
    for name, since in names_of(data):
        known = first.setdefault(name, dict(since))
        first[name] = {browser: min(known[browser], since[browser]) for browser in OLDEST}
    return {
        name: [since[browser] for browser in OLDEST]
        for name, since in sorted(first.items())
        if "__compat" not in name and any(since[browser] > oldest for browser, oldest in OLDEST.items())
    }


def used_by_script(source: str) -> set[str]:
    """Return the names that a script uses, as `names_of` spells them."""
    code = _COMMENT.sub(" ", source)
    names = {*_MEMBER.findall(code), *(name[0].upper() + name[1:] for name in _OF_INTERFACE.findall(code))}
    return {f"js {name}" for name in names} | {f"event {name}" for name in _LISTENER.findall(code)}


def used_by_style(source: str) -> set[str]:
    """Return the names that a style sheet uses, as `names_of` spells them."""
    css = _COMMENT.sub(" ", source)
    used = {f"selector {name}" for name in _SELECTOR.findall(css)}
    used |= {f"at {name}" for pair in _AT_RULE.findall(css) for name in pair if name}
    used |= {f"type {name}" for name in [*_FUNCTION.findall(css), *_UNIT.findall(css)]}
    for name, value in _PROPERTY.findall(css):
        used.add(f"property {name}")
        used |= {f"value {name}: {word}" for word in re.findall(r"[a-z-]+", value)}
    return used


def used(folder: Path = STATIC) -> dict[str, set[str]]:
    """Return the names that the static files use, and the files that use each."""
    found: dict[str, set[str]] = {}
    for path in folder.iterdir():
        read = {".js": used_by_script, ".css": used_by_style}.get(path.suffix)
        for name in read(path.read_text(encoding="utf-8")) if read else ():
            found.setdefault(name, set()).add(path.name)
    return found


def table() -> dict[str, tuple[str, str]]:
    """Return the stored table: by name the versions of iOS and of Chrome that first have it, "-" for none."""
    rows = (line.rsplit(" ", 2) for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {name: (ios, chrome) for name, ios, chrome in rows}


if __name__ == "__main__":
    found = newer(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    lines = [
        " ".join([name, *("-" if version == NEVER else f"{version:g}" for version in versions)])
        for name, versions in found.items()
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
