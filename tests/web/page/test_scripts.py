"""The scripts of the page: each one imports what it uses."""

import re
from pathlib import Path

import breakglass.web.page

SCRIPTS = sorted((Path(breakglass.web.page.__file__).parent / "static").glob("*.js"))
EXPORT = re.compile(r"^export (?:async )?(?:const|class|function) ([\w$]+)", re.MULTILINE)
OWN = re.compile(r"\b(?:const|class|function|let) ([\w$]+)|^  (?:async )?([\w$]+)\([^()]*\) \{", re.MULTILINE)
"""Names that a script defines, and those of its methods."""
TAKEN = re.compile(r"(?:\bimport|\bconst|\() ?\{([^{}]*)\}")
"""Names that come from another script: `import { a }`, `const { a } =`, `({ a }) =>`."""


def test_a_script_uses_no_name_of_another_one_without_importing_it() -> None:
    texts = {script.name: script.read_text(encoding="utf-8") for script in SCRIPTS}
    exported = {name for text in texts.values() for name in EXPORT.findall(text)}
    assert {"$", "$$", "make", "Stream"} <= exported
    missing = {}
    for script, text in texts.items():
        known = {name for both in OWN.findall(text) for name in both} | set(
            re.findall(r"[\w$]+", " ".join(TAKEN.findall(text)))
        )
        used = {name for name in exported if re.search(rf"(?<![\w$.#]){re.escape(name)}\(", text)}
        if used - known:
            missing[script] = used - known
    assert missing == {}
