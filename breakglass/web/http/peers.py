"""The other end of a connection, as one text: an IP address, `unix:UID`, or `turn` for a process of a turn.

The kernel reports who connected to a Unix socket (SO_PEERCRED, unix(7)), so no program can claim to be the proxy. The
agent may run as the same user as the proxy or the server. So a process of a turn is told from all others.
"""

import asyncio
import socket
import struct

from breakglass.turns.processes import is_of_turn
from breakglass.web.http.clients import plain_address

TURN = "turn"
"""The name of a peer that an agent started. No proxy has this name."""
_CREDENTIALS = struct.Struct("iII")
"""pid, uid and gid of `struct ucred`."""


def peer_name(writer: asyncio.StreamWriter) -> str:
    """Return the name of a connection's peer.

    A process outside this pid namespace has the pid 0. A turn has no such process.
    """
    peer, sock = writer.get_extra_info("peername"), writer.get_extra_info("socket")
    if isinstance(peer, tuple):
        return plain_address(peer[0])
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return TURN if pid and is_of_turn(pid) else f"unix:{uid}"
