"""The keys with which programs log in to the engine: nkeys, which are Ed25519 keys in base 32."""

import os

import nkeys


def new_key() -> tuple[str, str]:
    """Return a secret nkey and its public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), public_half(seed.decode())


def public_half(seed: str) -> str:
    """Return the public key of a secret one."""
    return str(nkeys.from_seed(seed.encode()).public_key.decode())
