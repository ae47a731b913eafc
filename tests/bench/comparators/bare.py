"""asyncio protocols without a framework: the least that a Python server does. Each event is sent in one loop.

python -m tests.bench.comparators.bare PORT
"""

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"
frames: list[bytes] = []
attached: set[asyncio.Transport] = set()


class Peer(asyncio.Protocol):
    """One connection, of a reader or of a publisher."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET /events"):
            self.transport.write(HEAD + _chunk(b"".join(frames)))
            attached.add(self.transport)
        elif head.startswith(b"POST"):
            if len(body) < _length(head):
                return
            publish(body)
            self.transport.write(EMPTY)
        else:
            self.transport.write(EMPTY)
        self.received = b""

    def connection_lost(self, _: Exception | None) -> None:
        attached.discard(self.transport)


def publish(body: bytes) -> None:
    """Keep the lines and send them to all readers."""
    first = len(frames) + 1
    more = [b"id: %d\ndata: %b\n\n" % each for each in enumerate(body[:-1].split(b"\n"), first)]
    frames.extend(more)
    chunk = _chunk(b"".join(more))
    for transport in attached:
        transport.write(chunk)


def _length(head: bytes) -> int:
    name = b"\r\ncontent-length: "
    return int(head[head.lower().index(name) + len(name) :].split(b"\r\n")[0])


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def main(port: int) -> None:
    """Serve until the process is killed."""
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
