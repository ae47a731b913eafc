"""Count turns, cost, tokens, tools, waiting times and failures."""

import time
from argparse import Namespace
from typing import Any

from breakglass import query
from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.config import Config
from breakglass.stats import Stats
from breakglass.store import counted, hosts, sessions
from breakglass.text import context_share, duration, money, one_line, plural


def run(config: Config, args: Namespace) -> int:
    """Print the numbers."""
    since = query.parse_since(args.since, time.time()) if args.since is not None else ""
    wanted = [sessions.find(config.data, *args.words).id] if args.words else sorted(sessions.ids(config.data))
    stats = counted.count(config.data, wanted, since)
    host = hosts.host_of(config.data)
    if args.json:
        screen.print_json([({"host": host} if host else {}) | stats.as_json()])
    else:
        screen.write((f"host {host}: " if host else "") + "\n".join(_lines(stats)) + "\n")
    return 0


def _lines(stats: Stats) -> list[str]:
    """Return the numbers as text: a table for each question."""
    numbers = stats.as_json()
    ended = ", ".join(f"{count:,} {one_line(status)}" for status, count in numbers["turns"].items()) or "none"
    counted_sessions = plural(numbers["sessions"], "session")
    lines = [f"{counted_sessions}, turns: {ended}; {money(numbers['cost_usd'])}"]
    if numbers["days"]:
        lines += ["", "day         turns      cost     tokens in    tokens out"]
    lines += [
        f"{day['day']:<10}{sum(day['turns'].values()):>7,}{money(day['cost_usd']):>10}"
        f"{day['input_tokens']:>14,}{day['output_tokens']:>14,}"
        for day in numbers["days"]
    ]
    lines += _model_lines(numbers["models"])
    if numbers["tools"]:
        lines += ["", "      time    calls  failed  tool"]
    lines += [
        f"{_time(tool['seconds']):>10}{tool['calls']:>9,}{tool['failed']:>8,}  {one_line(tool['name'], 40)}"
        for tool in numbers["tools"]
    ]
    if waiting := numbers["waiting"]["answers"]:
        longest = _time(numbers["waiting"]["longest"])
        mean = _time(numbers["waiting"]["seconds"] / waiting)
        lines += ["", f"{plural(waiting, 'answer')} by people, after {mean} on average, {longest} at most"]
    if numbers["slowest"]:
        lines += ["", "slowest calls"]
    lines += [
        f"{_time(call['seconds']):>10}  {call['session'][:8]}:{call['line']}  "
        f"{one_line(call['tool'], 20)}: {one_line(call['call'], 80)}"
        for call in numbers["slowest"]
    ]
    if numbers["failures"]:
        lines += ["", "latest failures"]
    lines += [
        f"{each['ts'][:16].replace('T', ' ')}  {each['session'][:8]}:{each['line']}  {one_line(each['error'], 100)}"
        for each in numbers["failures"]
    ]
    return lines


def _model_lines(models: list[dict[str, Any]]) -> list[str]:
    """Return a line for each model. Its context is that of the turn that used most of it."""
    if not models:
        return []
    rows = [
        f"{row['turns']:>7,}{money(row['cost_usd']):>10}{row['input_tokens']:>14,}{row['output_tokens']:>14,}"
        f"{context_share(row['context']):>9}  {one_line(' '.join(filter(None, (row['agent'], row['model']))), 60)}"
        for row in models
    ]
    return ["", "  turns      cost     tokens in    tokens out  context  agent and model", *rows]


def _time(seconds: float) -> str:
    return duration(seconds * 1000)


COMMAND = Command(
    run,
    reads_hosts=True,
    words=(Word("[ID]", "a session's id or the beginning of it (default all sessions)"),),
    options=(
        Option("--since T", "only turns since a time: 2026-11-29, 2026-11-29T03:00, or 90m, 12h, 7d ago"),
        Option("--json", "print one JSON object with all numbers"),
    ),
    output="the numbers as tables; with --json: sessions, turns, cost_usd, days, models, tools, waiting, slowest and "
    "failures",
    examples="""\
  breakglass stats                             all sessions
  breakglass stats 3f2a                        one session
  breakglass stats --since 7d --json | jq .cost_usd""",
    notes="""\
Only turns that have ended are counted, but the cost and the failures of a running turn too. Times are between two
lines of the log. A day is the day of the prompt, in UTC. The context of a model is how much of it was used at most,
where the agent says it.""",
)
