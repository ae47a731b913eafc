"""Search the events of all sessions for words, the newest first."""

import time
from argparse import Namespace

from breakglass import query
from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.cli.style import paint
from breakglass.config import Config
from breakglass.query import Query
from breakglass.store import hosts, sessions
from breakglass.store.search import Hit, Progress, search


def run(config: Config, args: Namespace) -> int:
    """Print every hit. Returns 0 if there is one, else 1."""
    since = query.parse_since(args.since, time.time()) if args.since is not None else None
    wanted = Query(args.words[0], kind=args.kind, since=since)
    session = sessions.find(config.data, args.session).id if args.session is not None else None
    printer = _Printer(config, as_json=args.json)
    for found in search(config.data, wanted, session):
        if isinstance(found, Hit):
            printer.show(found)
        else:
            printer.show_progress(found)
    printer.progress.erase()
    return 0 if printer.hits else 1


class _Printer:
    """Prints hits, and on a terminal the progress between them."""

    def __init__(self, config: Config, *, as_json: bool) -> None:
        self.hits = 0
        self._as_json = as_json
        host = hosts.host_of(config.data)
        self._host_prefix, self._host_key = (f"{host}/", {"host": host}) if host else ("", {})
        self._colours = screen.has_colours(config.environ)
        self.progress = screen.ProgressLine()

    def show(self, hit: Hit) -> None:
        """Print a hit at once."""
        self.hits += 1
        self.progress.erase()
        screen.write(self._line(hit) + "\n")

    def _line(self, hit: Hit) -> str:
        if self._as_json:
            return screen.json_line(self._host_key | hit.as_json())
        before, found, after = hit.excerpt.parts()
        place = paint(
            f"{self._host_prefix}{hit.place.session[:8]}:{hit.place.line}", "margin", colours=self._colours
        )
        shown = f"{before}{paint(found, 'question', colours=self._colours)}{after}"
        return f"{place}  {hit.ts[:16].replace('T', ' '):<16}  {hit.kind}: {shown}"

    def show_progress(self, found: Progress) -> None:
        """Show how much has been searched, if the search takes long."""
        if self.progress.is_due:
            percent = min(99, found.searched * 100 // max(1, found.total))
            self.progress.show(
                f"{percent} % of {found.total / 1e6:,.0f} MB, {self.hits:,} hits; Ctrl-C stops"
            )


COMMAND = Command(
    run,
    reads_hosts=True,
    words=(
        Word("WORDS", "words that an event must contain; a phrase in double quotes: '\"disk full\" db1'"),
    ),
    options=(
        Option("--kind K", "only events of this kind, such as user, text, tool or tool_result"),
        Option("--session ID", "only this session"),
        Option("--since T", "only events since a time: 2026-11-29, 2026-11-29T03:00, or 90m, 12h, 7d ago"),
        Option("--json", "print one JSON object a hit: session, line, kind, text; host with --host"),
    ),
    output="session, line, time, kind and the text around the first word, the newest log first",
    examples="""\
  breakglass grep nginx                                   every event with this word
  breakglass grep '"no space left" /var' --since 7d       a phrase and a word, in the last week
  breakglass grep docker --kind tool                      in the calls of tools only
  breakglass grep nginx --json | jq -r .session | sort -u""",
    notes="""\
Case does not matter, nor how white space is written. A word may be a part of a longer one. All texts of an event are
searched: prompts, prose, the input and the output of tools. The newest log comes first, in it the newest line.
To see a hit: breakglass attach ID --after LINE""",
    advice="put several words in one pair of single quotes",
    exits={0: "something was found", 1: "nothing was found, or it failed"},
)
