"""The engine: NATS JetStream. Only this module imports nats.

An `Engine` is one connection. It never reconnects: when it is lost, every call raises EngineLost, and the caller
connects again and asks anew. So nothing of an old connection is left, such as pieces that wait to be sent.
"""

import asyncio
import importlib.util
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from nats.aio.client import Client, ServerVersion
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext, api
from nats.js.errors import FetchTimeoutError, NotFoundError

from breakglass.errors import EngineLost, EngineRefused
from breakglass.relay.acks import PATIENCE, Acks
from breakglass.relay.credentials import Credentials
from breakglass.relay.keys import public_half
from breakglass.relay.piece import MAX_BYTES, BadPiece, Head, read_head

STREAM = "BG"
LOGS = "bg.log."
"""The subjects of the pieces: one for each session. `CLAIM` is among them."""
CLAIM = f"{LOGS}_claim"
SEEN = "bg.seen"
COMMANDS = "bg.cmd."
PING_SECONDS = 5
"""A link that vanished is noticed after three of them."""
MAX_TAKEN = 100
"""Messages that are taken at the same time."""
BATCH = 32
"""Pieces that are asked for at once: at most 8 MiB."""
QUIET_WAITS = 6
"""A reader that waited so many times for `PATIENCE` without a message asks whether its consumer exists."""
_OLDEST = ((2, 12, 7), (2, 14, 0))
"""The oldest safe versions of the engine: advisories of 2026 concern the separation of accounts."""


T = TypeVar("T")


class Message(NamedTuple):
    """A message of the stream."""

    name: str
    """The session, or `_claim`."""
    headers: dict[str, str]
    data: bytes
    sequence: int
    pending: int
    """How many messages are after it."""


class Asked(NamedTuple):
    """What the engine knows of a host."""

    sequence: int
    """Of the last message."""
    heads: dict[str, Head]
    last: dict[str, Message]
    """The last piece of each session, without its data."""
    claim: dict[str, str]
    """The headers of the last claim; empty without one."""
    claim_sequence: int = 0
    """Its number, which is the epoch of its relay."""


class Engine:
    """A connection to the account of one host."""

    def __init__(self, client: Client, lost: asyncio.Event, copies: int = 1) -> None:
        """`copies` is how many servers keep a stream that is created."""
        self._client = client
        self._copies = copies
        self._js = client.jetstream(timeout=PATIENCE)
        self.lost = lost
        """Set when the connection is lost."""
        self._acks = Acks(client, LOGS)

    async def close(self) -> None:
        """Close the connection."""
        self.lost.set()
        with suppress(NatsError, OSError, asyncio.TimeoutError):
            await self._client.close()

    # --- the stream

    async def ensure_stream(self) -> None:
        """Create the stream of the host unless it exists. Only the hub may."""
        wanted = api.StreamConfig(
            name=STREAM,
            subjects=[f"{LOGS}*"],
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            max_msg_size=2 * MAX_BYTES,
            deny_delete=True,
            allow_direct=True,
            num_replicas=self._copies,
        )
        try:
            try:
                await self._js.stream_info(STREAM)
            except NotFoundError:
                await self._js.add_stream(wanted)
        except (TimeoutError, NatsError) as error:
            raise _no_answer(error) from error

    async def ask(self) -> Asked:
        """Return the last sequence, and the head of each session. Raises EngineLost and EngineRefused."""
        try:
            info = await self._js.stream_info(STREAM)
        except NotFoundError as error:
            raise EngineLost(
                "the engine has no stream for this host yet; breakglass mirror makes it"
            ) from error
        except (TimeoutError, NatsError) as error:
            raise _no_answer(error) from error
        asked, newest = Asked(info.state.last_seq, {}, {}, {}), 0
        if not info.state.messages:
            return asked
        async for message in _read(self._js, self.lost, last=True):
            if message.name == "_claim":
                asked.claim.update(message.headers)
                asked = asked._replace(claim_sequence=message.sequence)
            else:
                with suppress(BadPiece):  # not ours; the mirror shows it
                    asked.heads[message.name] = read_head(message.headers)
                    asked.last[message.name] = message
            newest = max(newest, message.sequence)
            if not message.pending:
                break
        if (
            newest < asked.sequence
        ):  # the server that answered is one of three, and has not received everything yet
            raise EngineLost("a server of the engine lags behind")
        return asked

    async def last_claim(self) -> dict[str, str]:
        """Return the headers of the last claim, empty without one. Raises EngineLost."""
        try:
            found = await self._js.get_last_msg(STREAM, CLAIM, direct=True)
        except NotFoundError:
            return {}
        except (TimeoutError, NatsError, OSError) as error:
            raise _no_answer(error) from error
        return dict(found.headers or {})

    def read(self, after: int, session: str = "*") -> AsyncIterator[Message]:
        """Yield the messages of the stream after a sequence, or only those of a session, and wait for more."""
        return _read(self._js, self.lost, after=after, session=session)

    async def publish(
        self, name: str, data: bytes, headers: dict[str, str], expected: int
    ) -> "asyncio.Future[int]":
        """Send a message that must follow the sequence `expected`. The future gets its sequence.

        It raises WrongSequence if another message came first, StreamFull, or EngineLost.
        """
        return await self._guard(self._acks.publish(name, data, headers, expected))

    async def tell(self, subject: str, data: bytes) -> None:
        """Send a message that is not stored."""
        await self._guard(self._client.publish(subject, data))

    async def listen(self, subject: str, take: Callable[[str, bytes], Awaitable[bytes | None]]) -> None:
        """Call `take` with the subject and the data of each message. What it returns is the answer.

        Several messages are taken at the same time, and more than `MAX_TAKEN` are dropped.
        """
        taken: set[asyncio.Task[None]] = set()

        async def answer(message: Msg) -> None:
            data = await take(message.subject, message.data)
            if data is not None and message.reply:
                with suppress(NatsError, OSError):  # the connection was lost meanwhile
                    await message.respond(data)

        async def callback(message: Msg) -> None:
            if len(taken) < MAX_TAKEN:
                taken.add(task := asyncio.create_task(answer(message)))
                task.add_done_callback(taken.discard)

        await self._guard(self._client.subscribe(subject, cb=callback))
        await self._guard(self._client.flush(5))

    async def request(self, subject: str, data: bytes, seconds: float) -> bytes | None:
        """Return the answer to a message; None if no one listens to it. Raises EngineLost without an answer in time."""
        try:
            return (await self._client.request(subject, data, timeout=seconds)).data
        except NoRespondersError:
            return None
        except (TimeoutError, NatsError, OSError) as error:
            raise EngineLost(f"no answer within {seconds:g} s") from error

    async def _guard(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (TimeoutError, NatsError, OSError) as error:
            raise EngineLost(f"the connection to the engine was lost: {error}") from error


async def _read(
    js: JetStreamContext, lost: asyncio.Event, *, after: int = 0, session: str = "*", last: bool = False
) -> AsyncIterator[Message]:
    """Yield messages of the stream: those after a sequence, and wait for more, or the last one of each session."""
    policy = api.DeliverPolicy.LAST_PER_SUBJECT if last else api.DeliverPolicy.BY_START_SEQUENCE
    config = api.ConsumerConfig(
        deliver_policy=policy,
        opt_start_seq=None if last else after + 1,
        ack_policy=api.AckPolicy.NONE,
        headers_only=last,
        mem_storage=True,
        inactive_threshold=30,
    )
    batch = 1000 if last else BATCH
    waits = 0
    try:
        found = await js.pull_subscribe(f"{LOGS}{session}", stream=STREAM, config=config)
        while not lost.is_set():
            try:
                messages = await found.fetch(batch, timeout=PATIENCE)
            except (TimeoutError, FetchTimeoutError, NatsTimeout):
                if last:
                    raise
                waits += 1
                if waits % QUIET_WAITS == 0:
                    await found.consumer_info()  # the server that has it may be frozen, and others go on
                continue
            waits = 0
            for each in messages:
                yield _message(each)
    except (TimeoutError, NatsError) as error:
        raise _no_answer(error) from error
    raise EngineLost("the connection to the engine was lost")


def _message(found: Msg) -> Message:
    metadata = found.metadata
    return Message(
        found.subject.removeprefix(LOGS),
        dict(found.headers or {}),
        found.data,
        metadata.sequence.stream,
        metadata.num_pending,
    )


def _no_answer(error: Exception) -> EngineLost:
    return EngineLost(f"the engine does not answer: {str(error) or type(error).__name__}")


async def connect(credentials: Credentials, name: str) -> Engine:
    """Return a connection to the first server that accepts us.

    If there is none: raises EngineLost if a server could not be reached, because it may accept us later. Raises
    EngineRefused if every server refuses us.
    """
    errors: list[EngineLost | EngineRefused] = []
    for url in credentials.urls:
        try:
            return await _connect(credentials, url, name)
        except (EngineLost, EngineRefused) as error:
            errors.append(error)
    raise next((each for each in errors if isinstance(each, EngineLost)), errors[-1])


async def _connect(credentials: Credentials, url: str, name: str) -> Engine:
    if url.startswith(("wss:", "ws:")) and importlib.util.find_spec("aiohttp") is None:
        raise EngineRefused(f"{url} needs one more package; do: pip install 'breakglass[relay,wss]'")
    lost, client = asyncio.Event(), Client()
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    async def note_lost() -> None:
        lost.set()

    try:
        await client.connect(
            url,
            name=name,
            nkeys_seed_str=credentials.seed,
            inbox_prefix=f"_INBOX.{public_half(credentials.seed)}",  # operators may subscribe to no other
            tls=_tls(credentials),
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 means without end, also for the first connection
            reconnect_time_wait=1,
            connect_timeout=5,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            pending_size=0,
            error_cb=note,
            disconnected_cb=note_lost,
            closed_cb=note_lost,
        )
    except (TimeoutError, NatsError, OSError) as error:
        found = dict.fromkeys(map(str, errors or [error]))  # each attempt has an error
        raise _refusal(url, " ".join(found)) from error
    try:
        _check_version(client.connected_server_version)
    except EngineRefused:
        await client.close()
        raise
    return Engine(client, lost, len(credentials.urls))


def _refusal(url: str, text: str) -> EngineLost | EngineRefused:
    """Return the error for a connection that was not made."""
    if "uthorization" in text:
        return EngineRefused(f"the engine at {url} refuses these credentials")
    if "certificate" in text.lower():
        return EngineRefused(f"the certificate of {url} is not the one in the credentials")
    return EngineLost(f"the engine at {url} cannot be reached: {text}")


def _check_version(version: ServerVersion) -> None:
    """Raise EngineRefused for an engine that does not separate accounts safely."""
    found = (version.major, version.minor, version.patch)
    if found < _OLDEST[0] or _OLDEST[0][:2] < found[:2] < _OLDEST[1][:2]:
        raise EngineRefused(
            f"the engine is nats-server {'.'.join(map(str, found))}; it must be 2.12.7 or a newer 2.12, or 2.14 or"
            " newer: others do not separate accounts safely"
        )


def _tls(credentials: Credentials) -> ssl.SSLContext | None:
    if not credentials.url.startswith(("tls:", "wss:")):
        return None
    return ssl.create_default_context(cadata=credentials.ca or None)
