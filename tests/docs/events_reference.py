"""The table of event kinds in docs/contract.md, section 2, generated from `kinds.KINDS`."""

from breakglass.kinds import KINDS, Kind

HEADER = "| kind | own keys | written when |\n|---|---|---|\n"


def render() -> str:
    """Return the markdown table: one row a kind, an optional key followed by `?`."""
    return HEADER + "".join(_row(name, kind) for name, kind in KINDS.items())


def _row(name: str, kind: Kind) -> str:
    keys = [f"`{key}`" for key in kind.required] + [f"`{key}`?" for key in kind.optional]
    return f"| `{name}` | {', '.join(keys)} | {kind.about} |\n"
