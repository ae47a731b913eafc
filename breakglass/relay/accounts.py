"""The accounts of the engine, as its configuration has them.

Each host has an account of its own. What is sent in one account arrives in no other one, also not as an answer to a
subject that the sender chooses. In its account a host may add pieces to its stream and read it, and nothing more.

The operators share one more account. From there only commands reach the hosts, and only their answers come back: an
operator reads no log, and subscribes only to the answers to their own commands. The host checks the signature of each
command, so this account is no right to act. It exists before the first operator is enrolled: an engine that adds an
account while it runs connects it to others only when it reads its configuration once more.
"""

from typing import NamedTuple

from breakglass.relay.keys import public_half

MAX_GIGABYTES = 16
"""What the engine keeps for one host. It limits how long a mirror may be away."""
_HOST_RIGHTS = """\
permissions: {
        publish: { allow: ["bg.log.*", "bg.seen", "$JS.API.STREAM.INFO.BG", "$JS.API.DIRECT.GET.BG",
          "$JS.API.DIRECT.GET.BG.>", "$JS.API.CONSUMER.CREATE.BG.>", "$JS.API.CONSUMER.DELETE.BG.>",
          "$JS.API.CONSUMER.MSG.NEXT.BG.>"] }
        subscribe: { allow: ["_INBOX.>", "bg.cmd.*"] }
        allow_responses: true
      }"""
_OPERATORS = '"@operators"'  # no host has such a name


class Enrolled(NamedTuple):
    """A host that may ship to this hub."""

    host: str
    host_key: str
    """The public key of the host; "" if it was revoked."""
    hub_seed: str
    old_keys: tuple[str, ...] = ()
    """The public keys that were revoked. They have signed what is in the record."""


def write(enrolled: list[Enrolled], operators: list[str], *, copies: int = 1) -> str:
    """Return the file of all accounts. `operators` are their public keys, `copies` how often each record is kept."""
    rows = [_host(each, MAX_GIGABYTES * copies) for each in enrolled]
    rows.append(_all_operators(operators, [each.host for each in enrolled]))
    text = "\n".join(rows)
    about = "# Written by breakglass enroll: an account for each host, and one for the operators."
    return f"{about}\naccounts: {{\n{text}\n}}\n"


def _host(found: Enrolled, gigabytes: int) -> str:
    hub = public_half(found.hub_seed)
    host = f"\n      {{ nkey: {found.host_key}, {_HOST_RIGHTS} }}" if found.host_key else ""
    return f"""\
  "{found.host}": {{
    jetstream: {{ max_mem: 0, max_file: {gigabytes}G, max_streams: 1 }}
    exports: [ {{ service: "bg.cmd.*", accounts: [{_OPERATORS}] }} ]
    users: [
      {{ nkey: {hub} }}{host}
    ]
  }}"""


def _all_operators(keys: list[str], hosts: list[str]) -> str:
    imports = "".join(
        f'\n      {{ service: {{ account: "{host}", subject: "bg.cmd.*" }}, to: "bg.cmd.{host}.*" }}'
        for host in hosts
    )
    users = "".join(
        f'\n      {{ nkey: {key}, permissions: {{ publish: {{ allow: "bg.cmd.>" }},'
        f' subscribe: {{ allow: "_INBOX.{key}.>" }} }} }}'
        for key in keys
    )
    return f"""\
  {_OPERATORS}: {{
    imports: [{imports}
    ]
    users: [{users}
    ]
  }}"""
