"""The key that identifies the sender to push services (VAPID, RFC 8292). It is made once, in a private file.

Owns the file `push-key`. Browsers bind their subscriptions to its public part. So it is never replaced:
if it is deleted, every subscription ends.
"""

import base64
import os
from pathlib import Path

import msgspec

from breakglass.access.tokens import is_private, write_secret
from breakglass.errors import BadConfig
from breakglass.plain_file import open_plain_file

FILE = "push-key"


class PushKey(msgspec.Struct, frozen=True):
    """A key pair of the curve P-256. Both parts are in base64url without padding."""

    private: str
    public: str
    """The uncompressed point, as a browser takes it for `applicationServerKey`."""


def open_push_key(root: Path) -> PushKey:
    """Return the key in the data root; make it if it is missing. Raises BadConfig and CannotRecord."""
    try:
        return read_push_key(root)
    except FileNotFoundError:
        # A link: if two processes make one at the same time, the first one counts.
        write_secret(root / FILE, msgspec.json.encode(_new_key()).decode(), os.link)
        return read_push_key(root)


def read_push_key(root: Path) -> PushKey:
    """Return the key in the data root. Raises FileNotFoundError, and BadConfig for a file that cannot be used."""
    path = root / FILE
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            if not is_private(os.fstat(file.fileno())):
                raise BadConfig(f"{path} may be read by others: delete it, and turn notifications on again")
            return msgspec.json.decode(file.read(4096), type=PushKey)
    except FileNotFoundError:
        raise
    except (OSError, msgspec.MsgspecError) as error:
        raise BadConfig(f"{path} cannot be read as a key: {error}") from error


def _new_key() -> PushKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # an extra, and slow to import
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(32, "big")
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PushKey(*(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (private, public)))
