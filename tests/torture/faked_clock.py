"""`breakglass`, started with a library that fakes its clock. Its runners load the library too.

A runner gets only known variables from the process that starts it, and `LD_PRELOAD` is none of them.
"""

import os
import sys
from collections.abc import Collection, Mapping

from breakglass import cli
from breakglass.agents import environ

VARIABLES = ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC")

original = environ.environment


def with_library(
    server: Mapping[str, str], protocol: str, pass_env: Collection[str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a runner or an agent, with the variables of the library."""
    return original(server, protocol, pass_env, env) | {name: os.environ[name] for name in VARIABLES}


environ.environment = with_library

if __name__ == "__main__":
    sys.exit(cli.main())
