"""Forms with which the page of a hub acts on another host, if that host lists the hub's ssh key.

The server imports neither the relay nor the engine's library. So it runs `breakglass --on HOST`, as a user would. The
host checks the signature: a host that does not list the key refuses.
"""

import asyncio
import os
import re
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path

from quart import Blueprint, Response

from breakglass.agents.environ import helper_environment
from breakglass.config import Config
from breakglass.errors import BadInput, BreakglassError, Conflict
from breakglass.relay_settings import fingerprint
from breakglass.store import fleet, hosts, sessions
from breakglass.text import one_line
from breakglass.web.context import caller, checked_form, console, redirect_within

hub_forms = Blueprint("hub_forms", __name__)
SECONDS = 60.0
"""How long a command may take. It waits at most 40 s for the engine and the host."""
_KEY = re.compile(r"[0-9a-f]{32}")
_REQUEST = re.compile(r"[!-~]{1,200}")


def may_act(config: Config, host: str, now: float) -> bool:
    """Return whether the page acts on a host: this hub has a key for it, and the host says that it lists the key."""
    named = config.relay.page_identity
    if not named:
        return False
    with suppress(OSError, UnicodeDecodeError):
        words = Path(f"{os.path.expanduser(named)}.pub").read_text(encoding="utf-8").split()
        listed = fleet.link_of(config.data, host, now).signers
        return bool({*filter(None, map(fingerprint, words))} & {*listed})
    return False


def order_key(config: Config) -> str:
    """Return the key of the next command for the host whose copy is shown, "" if the page does not act there."""
    acting, credential = caller().host, caller().credential
    is_allowed = bool(acting and credential and credential.may_act)
    return secrets.token_hex(16) if is_allowed and may_act(config, acting, time.time()) else ""


@hub_forms.post("/orders")
async def act() -> Response:
    """Send a prompt to a session of another host, stop its turn, or answer its question."""
    form = await checked_form()
    host, session, key = hosts.check_name(form.get("host", "")), form.get("session", ""), form.get("key", "")
    if not sessions.ID.fullmatch(session) or not _KEY.fullmatch(key):
        raise BadInput("expected the id of a session, and a key of 32 hexadecimal digits")
    words, given = _command(form.get("verb", ""), session, form.get("request", "")), form.get("prompt", "")
    identity = console().config.relay.page_identity
    if not identity:
        raise Conflict("this hub has no key of its own: the setting is relay.page_identity")
    await _run("--on", host, "--identity", identity, "--key", key, *words, stdin=given)
    return redirect_within(f"/hosts/{host}/sessions/{session}#end")


def _command(verb: str, session: str, request: str) -> list[str]:
    if verb == "send":
        return ["send", session, "-"]
    if verb == "cancel":
        return ["cancel", session]
    if verb in ("allow", "deny") and _REQUEST.fullmatch(request):
        return ["answer", session, verb, f"--request={request}"]
    raise BadInput("verb: expected send, cancel, allow or deny; an answer names its request")


async def _run(*words: str, stdin: str) -> None:
    """Run a command of this program. Raises what its exit status says."""
    config = console().config
    places = ["--data", str(config.data.absolute()), *(["--config", str(config.file)] if config.file else [])]
    # -I: nothing in the working directory may change what it imports.
    command = [sys.executable, "-I", "-m", "breakglass", *words, *places]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        env=helper_environment(config.environ),
        stdin=pipe,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=pipe,
        start_new_session=True,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(stdin.encode()), SECONDS)
    except TimeoutError:
        process.kill()
        raise BreakglassError("the command took too long; look before you repeat it") from None
    if process.returncode:
        text = one_line(said.decode(errors="replace").strip().removeprefix("breakglass: "), 1000)
        kinds = {1: Conflict, 2: BadInput, 8: Conflict}
        raise kinds.get(process.returncode, BreakglassError)(text)
