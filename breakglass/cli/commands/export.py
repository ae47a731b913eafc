"""Write a session as one file: HTML, Markdown, an archive, or a format for tools."""

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from breakglass import masking
from breakglass.access import tokens
from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.cli.user import whole_number
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.events import Event
from breakglass.export import atif, markdown, otlp, selected
from breakglass.masking import Masker
from breakglass.store import hosts, log, seek, sessions, state_cache
from breakglass.store.seek import START
from breakglass.store.sessions import Session
from breakglass.store.state_cache import LogState
from breakglass.text import escape_json

FORMATS = ("html", "md", "bundle", "otlp", "atif")


class _Source(NamedTuple):
    """An open log, and what is known of it."""

    name: str
    """The id of the session, or the name of the file."""
    fd: int
    known: LogState
    host: str
    """The host whose copy the log is, "" for a log of this machine or a file."""
    session: Session | None
    """Where the files of the session are, None for a file, and if they are not shown."""
    masker: Masker
    """Knows the secrets of this machine with --redact, and none without."""


def run(config: Config, args: Namespace) -> int:
    """Write the document to standard output or a file."""
    first_line: int = getattr(args, "from")
    chosen = [each for each in FORMATS if getattr(args, each)]
    if len(chosen) != 1:
        raise BadInput("choose one of --html, --md, --bundle, --otlp and --atif")
    if chosen == ["bundle"] and (args.redact or first_line or args.to):
        raise BadInput(
            "a bundle has the whole log: leave out --redact, --from and --to, or choose another format"
        )
    if args.to and args.to < first_line:
        raise BadInput(f"--to {args.to} is before --from {first_line}")
    if not args.o and sys.stdout.isatty() and chosen == ["bundle"]:
        raise BadInput("an archive is not for a terminal; add -o FILE")
    with _source(config, args) as source, _output(args.o) as output:
        if chosen == ["bundle"]:
            _write_bundle(output, source)
        else:
            events = _events(args, source)
            for part in _document(chosen[0], events, source):
                output.write(part.encode(errors="replace"))
        output.flush()
    return 0


@contextmanager
def _source(config: Config, args: Namespace) -> Iterator[_Source]:
    if args.file and args.words:
        raise BadInput("--file names the log: leave out the session's id")
    session = None
    if args.file:
        try:
            fd, name = _open_file(args.file), os.path.basename(args.file)
        except FileNotFoundError:
            raise NotFound(f"there is no file {args.file}") from None
    else:
        session = sessions.find(config.data, *args.words)
        fd, name = log.open_reader(session.directory), session.id
    try:
        known = state_cache.read_state(fd)
        if not known.state.last_id:
            raise BadInput(f"{args.file or name} has no whole line, so it is no log")
        if not known.state.updated:
            raise BadInput(f"{args.file or name} has no event of Breakglass, so it is no log")
        host = "" if args.file else hosts.host_of(config.data)
        if args.redact:
            yield _Source(name, fd, known, host, None, _masker(config))
        else:
            yield _Source(name, fd, known, host, session, Masker(()))
    finally:
        os.close(fd)


def _open_file(path: str) -> int:
    """Open a log anywhere. O_NONBLOCK: without it, an open of a named pipe waits for the other end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadInput(f"{path} is no file, so it is no log")
    return fd


@contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    """Yield where to write. A file that was not written to its end does not stay. An error names `path`.

    Another user of a shared directory may have put files there. The document goes to a new file, which replaces the one
    at `path`. A device and a named pipe are written to: a file in the place of /dev/null would break the machine.
    Raises BadInput for a directory.
    """
    if not path or path == "-":
        yield sys.stdout.buffer
        return
    if path.endswith("/") or os.path.isdir(path):
        raise BadInput(f"-o {path} is a directory; name a file in it")
    if _is_special(path):
        with open(path, "wb") as file:
            yield file
        return
    partial = f"{path}.{os.urandom(4).hex()}.partial"
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError) and error.filename == partial:
            error.filename, error.filename2 = path, None
        raise


def _is_special(path: str) -> bool:
    """Return whether a path is a device, a named pipe or a directory, or stands for a descriptor."""
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _masker(config: Config) -> Masker:
    variables = (config.environ, *(each.env for each in config.agents.values()))
    known = [*filter(None, [config.token]), *tokens.readable_tokens(config.data)]
    return Masker(masking.fingerprints(known, *variables))


def _events(args: Namespace, source: _Source) -> Iterable[Event]:
    first = max(1, getattr(args, "from"))
    begin = seek.find_after(source.fd, first - 1, source.known.end) if first > 1 else START
    events = selected.between(log.read(source.fd, begin, source.known.end), first, args.to or None)
    return selected.redacted(events, source.masker) if args.redact else events


def _document(form: str, events: Iterable[Event], source: _Source) -> Iterator[str]:
    match form:
        case "html":
            return _html(events, source)
        case "md":
            return markdown.render(events, source.name, source.host)
    created = _created(source)
    created = {**created, "host": source.host or created.get("host", "")}
    render = {"otlp": otlp.render, "atif": atif.render}[form]
    return map(escape_json, render(events, source.name, created))


def _html(events: Iterable[Event], source: _Source) -> Iterator[str]:
    from breakglass.web.page import fragments
    from breakglass.web.page.document import document

    title = source.masker.text(source.known.state.title) or _first_prompt(source) or source.name
    host = source.host or str(_created(source).get("host", ""))
    names = {"session": source.name, "title": title[:200], "host": host}
    return document(fragments.compact(events), **names, files=source.session)


def _first_prompt(source: _Source) -> str:
    """Return the first prompt of the log, "" if there is none.

    The state has only its beginning, and a secret that is cut would not be recognised and masked.
    """
    events = selected.redacted(log.read(source.fd, START, source.known.end), source.masker)
    return next((str(event.get("text", "")) for event in events if event["kind"] == "user"), "")


def _created(source: _Source) -> Event:
    """Return the first event of the log."""
    return next(selected.redacted([log.read_one(source.fd, 1)], source.masker))


def _write_bundle(output: BinaryIO, source: _Source) -> None:
    from breakglass.web.page import bundle

    html = _html(log.read(source.fd, START, source.known.end), source)
    bundle.write(output, source.name, source.fd, source.known, html, source.session)


COMMAND = Command(
    run,
    reads_hosts=True,
    words=(LAST_SESSION,),
    options=(
        Option("--html", "one HTML file: no script, no network, to read and to print"),
        Option("--md", "Markdown for a post-mortem: timeline, calls with their outcome, files changed, cost"),
        Option("--bundle", "a .tar.gz: the log byte for byte, its files, HTML and newest seal, SHA256SUMS"),
        Option(
            "--otlp", "OpenTelemetry traces as OTLP JSON: a trace for each turn, without the output of tools"
        ),
        Option("--atif", "the Agent Trajectory Interchange Format, as JSON"),
        Option("-o FILE", "write to this file instead of standard output"),
        Option("--file PATH", "export this log instead of a session's, such as one from a bundle"),
        Option("--redact", "leave out the output of tools, and mask the known secrets of this machine again"),
        Option("--from N", "begin with line N", whole_number, 0),
        Option("--to N", "end with line N", whole_number, 0),
    ),
    output="the document, or nothing with -o",
    examples="""\
  breakglass export --html -o disk-full.html       the session written to last
  breakglass export 3f2a --md --redact             what was asked and done, without any output
  breakglass export 3f2a --bundle -o 3f2a.tar.gz   all of it, to keep
  breakglass export --file events.jsonl --html     a log from another machine
  breakglass export 3f2a --otlp -o traces.json     for a collector: curl -H 'Content-Type: application/json' \\
      --data-binary @traces.json http://127.0.0.1:4318/v1/traces""",
    notes="""\
A document shows the lines that the log has now. Line N of the log is #eN in the HTML.
Pictures that users sent are in the HTML, and all their files in the bundle, unless they were changed since.
--redact leaves pictures out. It masks what this machine knows as secrets; other secrets in prompts and in the
agent's words stay.""",
)
