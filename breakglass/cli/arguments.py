"""The commands: their names, options and help, as one table. Knows how to read a command line, not how to obey it.

argparse, because it is there: 9 ms to import, click takes 40 (2026-11-23), and `breakglass send` is typed often.
Only the parser of the command that was named is made.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from breakglass import __version__
from breakglass.errors import BadInput

_ID = "a session's id or the beginning of it; left out, the session last written to"
_THAT = "a session's id or the beginning of it"
_WORDS = {
    "ID": _THAT,
    "ID TITLE": f"ID: {_THAT}; TITLE: what it is to be called in lists",
    "[ID]": _ID,
    "[ID] PROMPT": f"ID: {_ID}; PROMPT: what the agent is to do, - reads it from standard input",
    "show|rotate": "show: print it, made where there is none; rotate: make another, and end the logins of the old",
    "[ID] [allow|deny]": f"ID: {_ID}; neither allow nor deny: show what is asked",
}

OVERRIDES = ("data", "host", "port", "socket", "tls_cert", "tls_key", "allow_plain")
"""Settings that have an option of their own."""

_EXITS = """\
exit status: 0 ok, 1 something failed, 2 bad usage or a bad setting, 3 a turn is running already,
130 the turn was cancelled, or you interrupted"""

_SETTINGS = """\
settings, from the environment or a TOML file (--config, BREAKGLASS_CONFIG, ./breakglass.toml):
  BREAKGLASS_DATA                    data                    where everything is kept (./var)
  BREAKGLASS_HOST, BREAKGLASS_PORT   host, port              where the server listens (127.0.0.1, 8420)
  BREAKGLASS_AGENT                   agent                   the agent of new sessions (claude where found, else shell)
  BREAKGLASS_MODEL                   model                   its model (the agent's own choice)
  BREAKGLASS_TURN_TIMEOUT_SECONDS    turn_timeout_seconds    when a turn is stopped (1800)
  BREAKGLASS_PERMISSION_TIMEOUT_SECONDS
                                     permission_timeout_seconds   when a question counts as refused (600)
  BREAKGLASS_SSE_KEEPALIVE_SECONDS   sse_keepalive_seconds   sign of life on a silent stream (20)
  BREAKGLASS_TOKEN                   -                       the access token (made, kept in var/token)
  BREAKGLASS_ORIGINS                 origins                 public addresses, as https://ops.example.com
  BREAKGLASS_PREFIX                  prefix                  the path below which a proxy shows it (none)
  BREAKGLASS_PROXIES                 proxies                 addresses of the proxies in front, or unix
  BREAKGLASS_PROXY_USER_HEADER       proxy_user_header       where such a proxy says who it let in
  BREAKGLASS_PROXY_ADDRESS_HEADER    proxy_address_header    and from where they came
  BREAKGLASS_TLS_CERT                tls_cert                serve TLS: the file of the certificate and its chain
  BREAKGLASS_TLS_KEY                 tls_key                 and the file of its key
  BREAKGLASS_SOCKET                  socket                  a Unix socket, instead of host and port
  BREAKGLASS_ALLOW_PLAIN             allow_plain             serve other machines without TLS or proxy (false)
  BREAKGLASS_ACCESS_LOG              access_log              a file for a line an answer, - for stderr (none)
  -                                  [agents.NAME]           protocol, command, permissions, allow, deny,
                                                             thinking, env, pass_env
  -                                  [[presets]]             ready prompts: label, text, agent
  NO_COLOR                           -                       any value: no colours"""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput."""
        raise BadInput(f"{message}; see: {self.prog} --help")


class Command(NamedTuple):
    """One command as it is typed."""

    summary: str
    add: Callable[[Parser], None]
    examples: str
    """The rest of its help."""
    words: str = ""
    """What it takes besides options, as its usage says."""
    most: int = 0
    """How many words that may be."""


def _serve(parser: Parser) -> None:
    parser.add_argument("--host", metavar="H", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", metavar="P", help="the port to listen on, 0 for any (default 8420)")
    parser.add_argument("--socket", metavar="PATH", help="a Unix socket to listen on instead")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve TLS: the certificate and what it hangs on")
    parser.add_argument("--tls-key", metavar="FILE", help="its key")
    parser.add_argument(
        "--allow-plain",
        action="store_true",
        default=None,
        help="serve other machines in clear, where whoever listens reads the token",
    )
    parser.add_argument(
        "--workers", metavar="N", type=_whole, default=1, help="processes that serve (default 1)"
    )


def _new(parser: Parser) -> None:
    parser.add_argument("--agent", metavar="A", help="who works in it (see: breakglass agents)")
    parser.add_argument("--model", metavar="M", help="the agent's model")
    parser.add_argument("--title", metavar="T", help="what it is called in lists")


def _send(parser: Parser) -> None:
    parser.add_argument("--wait", action="store_true", help="show the turn, and return when it has ended")
    parser.add_argument(
        "--queue", action="store_true", help="where a turn is running, have it wait for its end"
    )
    parser.add_argument("--agent", metavar="A", help="begin a new session with this agent")
    parser.add_argument("--model", metavar="M", help="the model of this turn")
    parser.add_argument("--title", metavar="T", help="begin a new session with this title")


def _attach(parser: Parser) -> None:
    parser.add_argument("--after", metavar="N", type=_whole, default=0, help="leave out lines 1 to N")
    parser.add_argument("--json", action="store_true", help="print the lines of the log as they are")


def _answer(parser: Parser) -> None:
    parser.add_argument("--message", metavar="M", help="told to the agent: why not, or what was chosen")
    parser.add_argument("--for-session", action="store_true", help="allow the tool for the whole session")
    parser.add_argument("--request", metavar="R", help="which question, where several are open")


def _cancel(parser: Parser) -> None:
    """It has no options."""


def _ls(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a session, on a line of its own")
    parser.add_argument("--archived", action="store_true", help="archived sessions too")


def _rename(parser: Parser) -> None:
    """It has no options."""


def _archive(parser: Parser) -> None:
    parser.add_argument("--undo", action="store_true", help="take it out of the archive")


def _verify(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help="check every session")


def _agents(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object an agent, on a line of its own")


def _token(parser: Parser) -> None:
    parser.add_argument(
        "--read-only", action="store_true", help="the token of those who watch and may not act"
    )
    parser.add_argument("--qr", action="store_true", help="the login address too, and as a QR code")


def _logins(parser: Parser) -> None:
    parser.add_argument("--revoke", metavar="LOGIN", help="end this login")


COMMANDS: dict[str, Command] = {
    "serve": Command(
        "run the web server; its login address is printed",
        _serve,
        f"""\
examples:
  breakglass serve                          http://127.0.0.1:8420/
  breakglass serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
  breakglass serve --socket /run/breakglass/socket      behind a proxy, which the settings name

Turns do not depend on the server: it may be stopped, restarted or killed while they run.

{_SETTINGS}""",
    ),
    "new": Command(
        "make a session and print its id",
        _new,
        """\
examples:
  breakglass new --title "disk full on db1"
  id=$(breakglass new --agent shell) && breakglass send $id 'df -h'""",
    ),
    "send": Command(
        "begin a turn: give a session's agent a prompt",
        _send,
        """\
examples:
  breakglass send "why is nginx not answering?"      in the session last written to
  breakglass send 3f2a "try again" --wait            in session 3f2a…, shown to its end
  breakglass send --agent shell --wait 'df -h'       in a new session with the shell
  breakglass send --queue "and then restart it"      after the turn that is running
  journalctl -n 200 | breakglass send 3f2a -         the prompt is read from stdin

It returns at once and prints the session's id and the turn's number; the turn goes on by itself.
With --queue, and while a turn is running, what is printed is the number of the queued prompt.
With --wait the exit status says how the turn ended: 0 ok, 1 error, timeout or lost, 130 cancelled.
It is 3 where a turn is running already. Ctrl-C stops the waiting, not the turn.
A prompt that begins with - stands after --, as in: breakglass send -- '-x'""",
        "[ID] PROMPT",
        2,
    ),
    "attach": Command(
        "show a session from its beginning, and go on as it grows",
        _attach,
        """\
examples:
  breakglass attach                      the session last written to
  breakglass attach 3f2a --after 120     what comes after line 120
  breakglass attach --json | jq -r 'select(.kind == "text").text'

Ctrl-C detaches and stops nothing. The numbers in the margin are lines of the log: sed -n 12p events.jsonl.
The output of an agent's tools is cut on a terminal; the log has all of it.""",
        "[ID]",
        1,
    ),
    "answer": Command(
        "answer an agent that asks leave to use a tool; without an answer, show what it asks",
        _answer,
        """\
examples:
  breakglass answer                          what is asked in the session last written to
  breakglass answer allow                    the only open question
  breakglass answer 3f2a allow --for-session     and whatever else that tool is to do
  breakglass answer deny --message "use the replica"
  breakglass answer allow --message "Blue"       where the agent offers choices: the one that is chosen

exit status: 0 it was answered, or shown; 1 nothing is asked, or somebody else was first""",
        "[ID] [allow|deny]",
        2,
    ),
    "cancel": Command(
        "stop the turn that runs, and wait for its end",
        _cancel,
        """\
examples:
  breakglass cancel          in the session last written to
  breakglass cancel 3f2a

What waits in the queue is withdrawn too.
exit status: 0 it was stopped, 1 none was running""",
        "[ID]",
        1,
    ),
    "ls": Command(
        "list the sessions, latest first",
        _ls,
        """\
examples:
  breakglass ls
  breakglass ls --json | jq -r 'select(.turn_active).id'""",
    ),
    "rename": Command(
        "give a session another title",
        _rename,
        """\
examples:
  breakglass rename 3f2a "disk full on db1"
  breakglass rename 3f2a ""           its first prompt stands for it again""",
        "ID TITLE",
        2,
    ),
    "archive": Command(
        "put a session away: lists leave it out, and nothing of it is deleted",
        _archive,
        """\
examples:
  breakglass archive 3f2a
  breakglass archive 3f2a --undo
  breakglass ls --archived            the archived ones too

A session is deleted with its files: rm -r var/sessions/ID var/workspaces/ID""",
        "ID",
        1,
    ),
    "verify": Command(
        "check a log line by line: numbers, order, keys, turns",
        _verify,
        """\
examples:
  breakglass verify            the session last written to
  breakglass verify 3f2a
  breakglass verify --all      every session

It reads and changes nothing. What breaks a rule is told with its line, as in events.jsonl:12: and so is,
as a note, what breaks none but is worth knowing: a stranger's line, a torn tail, a turn that runs.
It holds a log against the rules, not against another copy: lines cut off its end, or words changed in a
line, break none.
exit status: 0 no rule is broken, 1 one is""",
        "[ID]",
        1,
    ),
    "agents": Command(
        "list the agents configured here, and whether each can start",
        _agents,
        """\
examples:
  breakglass agents
  breakglass agents --json | jq -r 'select(.can_start).name'

An agent is configured in the TOML file:
  [agents.claude]
  command = ["/opt/claude/bin/claude"]    its program; the protocol appends its own arguments
  permissions = "ask"                     or "bypass", the default: it acts without asking
  allow = ["Edit"]                        tools that need no leave where it asks, and deny = [...] those refused
  thinking = true                         keep its thinking in the log
  env = { IS_SANDBOX = "1" }              Claude Code acts without asking as root only where this is set""",
    ),
    "token": Command(
        "show the access token, or change it",
        _token,
        """\
examples:
  breakglass token show                     curl -H "Authorization: Bearer $(breakglass token show)" ...
  breakglass token show --qr                the login address for a phone
  breakglass token show --read-only --qr    for somebody who watches and may not act
  breakglass token rotate                   after it was seen by somebody: all its logins end within 15 seconds

Only standard output gets the token. A token in BREAKGLASS_TOKEN is shown and cannot be changed here.""",
        "show|rotate",
        1,
    ),
    "logins": Command(
        "list who is logged in by a browser, or end a login",
        _logins,
        """\
examples:
  breakglass logins
  breakglass logins --revoke 3f2a91c0

exit status: 0, or 1 there is no such login""",
    ),
}


def names() -> str:
    """Return the commands as a phrase."""
    *all_but_last, last = COMMANDS
    return f"{', '.join(all_but_last)} or {last}"


def version() -> str:
    """Return the program's name and version."""
    return f"breakglass {__version__}"


def overview() -> str:
    """Return the help of the whole program."""
    summaries = "\n".join(f"  {name:<8} {command.summary}" for name, command in COMMANDS.items())
    return f"""\
usage: breakglass COMMAND [options]

The emergency door to a machine in trouble: coding agents whose every session is one append-only file.
Commands work on those files; only `serve` needs a port, and no command needs a server.

{summaries}

breakglass COMMAND --help shows its options and examples. A session's id may be shortened to any
beginning that no other has; left out, it is the session last written to.

examples:
  breakglass agents                             who can work here
  breakglass send "why is the disk full?"       begin a turn, in a new session if there is none
  breakglass attach                             watch it; Ctrl-C detaches and stops nothing
  breakglass cancel                             stop it

{_EXITS}

{_SETTINGS}"""


def parse(name: str, words: list[str]) -> argparse.Namespace:
    """Return what is said after a command's name: its options, and its `words`.

    Raises BadInput, and SystemExit once help was printed.
    """
    if name not in COMMANDS:
        raise BadInput(f"there is no command {name!r}{_guess(name)}; expected {names()}")
    parser, command = _parser(name), COMMANDS[name]
    # Options may stand anywhere, `send ID --wait PROMPT`, but not after `--`, which intermixed parsing forgets.
    stop = words.index("--") if "--" in words else len(words)
    args = parser.parse_intermixed_args(words[:stop])
    args.words = [*getattr(args, "words", ()), *words[stop + 1 :]]
    if len(args.words) > command.most:
        got = " ".join(map(repr, args.words))
        parser.error(f"expected {command.words or 'no words'}, got {got[:80]}{_ADVICE.get(name, '')}")
    return args


_ADVICE = {"send": "; put the prompt in quotes"}


def _parser(name: str) -> Parser:
    command = COMMANDS[name]
    parser = Parser(
        prog=f"breakglass {name}",
        usage=" ".join(filter(None, ("breakglass", name, command.words, "[options]"))),
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=command.examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.words:
        parser.add_argument("words", nargs="*", metavar=command.words, help=_WORDS[command.words])
    command.add(parser)
    parser.add_argument("--data", metavar="DIR", help="where everything is kept (default ./var)")
    parser.add_argument(
        "--config", metavar="FILE", help="the settings (default ./breakglass.toml where it exists)"
    )
    return parser


def _guess(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)
