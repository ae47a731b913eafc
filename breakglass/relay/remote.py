"""Takes signed commands of other machines on this host.

How this works
--------------
A client asks for a nonce (`hello`). It signs a text with that nonce, the name of this host and what is to be done, and
sends it within `NONCE_SECONDS`. Only a key in the file of allowed signers counts. The engine and the hub only carry the
messages: they can read and withhold them, but a changed, repeated or late one is refused.

A nonce is used once, also if two messages with it arrive at the same time. After the check of the signature, the nonce
is looked up once more and deleted without an `await` in between. Only the monotonic clock of this host is trusted.

No command is stored anywhere. The log of the session has the signer's name in `by`.
"""

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from breakglass.config import Config
from breakglass.errors import BadInput, BreakglassError, Forbidden
from breakglass.relay import order, signing
from breakglass.relay.operations import carry_out
from breakglass.relay.order import Order
from breakglass.text import one_line

HELLO = "hello"
NONCE_SECONDS = 60.0
MAX_NONCES = 1000
"""If there are more, the oldest is forgotten, and its command is refused."""
MAX_ANSWERS = 1000
"""Answers that are kept for repeated commands."""
AT_ONCE = 4
"""Commands that are checked and done at the same time."""
ALLOWED: dict[Literal["none", "answers", "all"], frozenset[str]] = {
    "none": frozenset(),
    "answers": frozenset({"answer"}),
    "all": frozenset(order.FIELDS),
}
"""The verbs that each value of the setting `commands` allows."""
Now = Callable[[], float]
Say = Callable[[str], object]


class Remote:
    """The commands of one data root. Lives on one event loop, longer than a connection."""

    def __init__(self, config: Config, host: str, say: Say, now: Now = time.monotonic) -> None:
        self._config = config
        self._host = host
        self._say = say
        self._now = now
        self._allowed = ALLOWED[config.relay.commands]
        named = config.relay.signers
        self._signers = Path(named).expanduser() if named else config.data / signing.NAME_OF_FILE
        self._nonces: OrderedDict[str, float] = OrderedDict()
        """When each nonce was given."""
        self._answers: OrderedDict[tuple[str | None, ...], bytes] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def signers(self) -> list[str]:
        """Return the fingerprints of the keys that may sign commands here; none if no command is accepted."""
        return signing.fingerprints(self._signers) if self._allowed else []

    async def take(self, verb: str, data: bytes) -> bytes:
        """Return the answer to a message: what was done, or why nothing was."""
        if verb == HELLO:
            return _packed({"host": self._host, "nonce": self._new_nonce(), "verbs": sorted(self._allowed)})
        try:
            async with self._slots:
                return await self._take_order(verb, data)
        except BreakglassError as error:
            self._say(f"refused a command ({one_line(verb, 20)}): {error}")
            return _packed({"error": str(error)})
        except Exception as error:  # noqa: BLE001 — the relay must go on, and the client must know
            self._say(f"a command ({one_line(verb, 20)}) failed: {type(error).__name__}: {error}")
            return _packed({"error": f"a bug in breakglass: {type(error).__name__}: {error}"})

    async def _take_order(self, verb: str, data: bytes) -> bytes:
        text, signature = order.unpack(data)
        found = order.read(text)
        if found.verb != verb or found.host != self._host:
            wanted = f"{one_line(found.verb, 20)} on {one_line(found.host, 64)}"
            raise Forbidden(f"the command is {wanted}, and came as {one_line(verb, 20)} to {self._host}")
        if verb not in self._allowed:
            raise Forbidden(f"{self._host} does not accept this command; its setting is relay.commands")
        self._check_nonce(found.nonce)
        wanted = signing.namespace(verb, self._host)
        signer = await asyncio.to_thread(signing.find_signer, text, signature, wanted, self._signers)
        self._check_nonce(found.nonce)
        del self._nonces[found.nonce]
        repeated = (signer, verb, found.session, found.key)
        if answer := self._answers.get(repeated):
            return answer
        return await self._carry_out(found, signer, repeated)

    async def _carry_out(self, found: Order, signer: str, repeated: tuple[str | None, ...]) -> bytes:
        done = await asyncio.to_thread(carry_out, self._config, found, f"signed:{signer}")
        answer = self._answers[repeated] = _packed({"done": done})
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        self._say(f"did {found.verb} in session {done['session'][:8]} for {one_line(signer, 100)}")
        return answer

    def _new_nonce(self) -> str:
        nonce = secrets.token_hex(16)
        self._nonces[nonce] = self._now()
        while len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return nonce

    def _check_nonce(self, nonce: str) -> None:
        given = self._nonces.get(nonce)
        if given is None:
            raise BadInput("the command was used already, or its nonce is not from this host")
        if self._now() - given > NONCE_SECONDS:
            del self._nonces[nonce]
            raise BadInput(
                f"the command is too old: it came more than {NONCE_SECONDS:g} s after its nonce was given"
            )


def _packed(found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode()
