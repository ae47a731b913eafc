"""The script for the far side of ssh: a list of bare verbs, each with its command, and nothing else. Pure.

sshd runs it instead of what the client asks for (`command=` in authorized_keys, sshd(8)). The client's words are in
SSH_ORIGINAL_COMMAND. They are compared with whole verbs and never given to a shell.
"""

import re
import shlex
from collections.abc import Mapping

from breakglass.errors import BadInput
from breakglass.settings import expected

SCRIPT = "/usr/local/sbin/breakglass-verbs"
"""Where the script is installed on the far side."""
VERB = re.compile(r"[a-z][a-z0-9-]{0,31}")
LIST = "list"
"""The verb that every script has: it prints the verbs."""

_HEAD = """\
#!/bin/sh
# Written by: breakglass target verbs {name}
# Install it as {script}, mode 0755, owned by root. It runs one of its verbs and nothing else.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
log=${{BREAKGLASS_VERBS_LOG:-/var/log/breakglass-verbs.log}}

note() {{
    # One line each, without control characters: the words come from the client.
    line=$(printf '%s' "$1" | tr -c '[:print:]' '?' | cut -c1-200)
    printf '%s %s %s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${{SSH_CONNECTION:-local}}" "$line" >>"$log"
}}

forensics() {{
    # What a restart destroys. It must not delay the verb, so each command has five seconds.
    {{
        for each in 'uptime' 'free -m' 'df -h -l' 'ps axo pid,stat,pcpu,pmem,wchan:20,args' 'dmesg'; do
            printf '\\n== %s\\n' "$each"
            timeout 5 $each 2>&1 | tail -n 400
        done
    }} >>"$log.forensics" 2>&1
}}

case ${{SSH_ORIGINAL_COMMAND:-}} in
"""
_VERB = """\
'{verb}')
    note 'run {verb}'
    forensics
    exec {command}
    ;;
"""
_TAIL = """\
'list')
    echo '{verbs}'
    ;;
*)
    note "refused: ${{SSH_ORIGINAL_COMMAND:-a shell}}"
    echo 'refused; expected one of: {verbs}' >&2
    exit 126
    ;;
esac
"""


def read_verbs(pairs: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the commands of `VERB=COMMAND` words, by verb. Raises BadInput."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        verb, sign, command = pair.partition("=")
        if not sign or not VERB.fullmatch(verb) or verb == LIST:
            raise expected(
                "a verb", pair, f"VERB=COMMAND, the verb in small letters, digits and -, but not {LIST}"
            )
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise BadInput(f"{verb}: {error}") from None
        if not words or not words[0].startswith("/"):
            raise expected(verb, command, "the whole path of a program, and its arguments")
        if verb in found:
            raise BadInput(f"{verb}: this verb is given twice")
        found[verb] = tuple(words)
    return found


def script(name: str, verbs: Mapping[str, tuple[str, ...]]) -> str:
    """Return the script. Its commands are quoted words, so no shell reads them again."""
    listed = " ".join((*verbs, LIST))
    cases = "".join(_VERB.format(verb=verb, command=shlex.join(words)) for verb, words in verbs.items())
    return _HEAD.format(name=name, script=SCRIPT) + cases + _TAIL.format(verbs=listed)


def authorized_key(public_key: str, address: str | None) -> str:
    """Return the line for authorized_keys: this key runs the script and nothing else. `address` is where from."""
    options = ["restrict", f'command="{SCRIPT}"', *([f'from="{address}"'] if address else [])]
    return f"{','.join(options)} {public_key}"
