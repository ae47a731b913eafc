"""A sample session with an event of every kind, for tests and for the preview."""

from typing import Any

from breakglass.events import Event

JOURNALS = "\n".join(
    f"{30_000_000 // (n + 1):>10}\t/var/log/journal/{n:032x}/system@{n:016x}.journal" for n in range(1800)
)

DISK = """\
Filesystem      Size  Used Avail Use% Mounted on
/dev/vda1        40G   40G     0 \x1b[1;31m100%\x1b[0m /
tmpfs           3.9G  1.1M  3.9G   1% /run
/dev/vdb1       200G  112G   88G  57% /srv
"""

STATUS = """\
\x1b[0;1;31m\u25cf\x1b[0m postgresql.service - PostgreSQL RDBMS
     Loaded: loaded (/lib/systemd/system/postgresql.service; \x1b[0;1;32menabled\x1b[0m)
     Active: \x1b[0;1;31mfailed\x1b[0m (Result: exit-code)
exit status 3"""

FOUND = """\
# What fills /var

The journal holds **30 GB** of 40. It has no limit on this machine, so it grew until nothing was left.

1. `journalctl --vacuum-size=2G` frees 28 GB at once.
2. The limit in `/etc/systemd/journald.conf` keeps it so.

| directory | size | may go |
|---|---|---|
| /var/log/journal | 30 GB | yes, but 2 GB |
| /var/lib/postgresql | 6 GB | no |

```bash
journalctl --vacuum-size=2G   # keeps the last days
systemctl restart postgresql
```

> Nothing is deleted yet. See [the manual](https://example.org/journald).
"""

BEFORE = "[Journal]\n#Storage=auto\n#Compress=yes\n#SystemMaxUse=\n#SystemKeepFree=\nForwardToSyslog=yes"
AFTER = "[Journal]\n#Storage=auto\n#Compress=yes\nSystemMaxUse=2G\nSystemKeepFree=4G\nForwardToSyslog=yes"

STEPS = [
    {"content": "Look at the disk", "status": "completed"},
    {"content": "Find what grew", "status": "in_progress"},
    {"content": "Free space without losing logs", "status": "pending"},
]


class SampleLog:
    """A list of events with ids and times as in a real log."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, **keys: Any) -> int:
        """Append an event, three seconds after the last one, and return its id."""
        number = len(self.events) + 1
        ts = f"2026-11-23T03:{12 + number // 20:02d}:{number * 3 % 60:02d}.123Z"
        self.events.append({"id": number, "ts": ts, "kind": kind, **keys})
        return number

    def call(self, turn: int, tool_id: str, name: str, value: Any, output: str | None, **keys: Any) -> None:
        """Append a tool call and its result. Without `output` the tool still runs."""
        failed = bool(keys.pop("failed", False))
        parent = {"parent": keys["parent"]} if "parent" in keys else {}
        self.add("tool", turn=turn, tool_id=tool_id, name=name, input=value, **parent)
        if output is not None:
            self.add("tool_result", turn=turn, tool_id=tool_id, output=output, is_error=failed, **keys)

    def ask(self, text: str, **keys: Any) -> int:
        """Append a prompt and return the id of its turn."""
        return self.add("user", turn=len(self.events) + 1, text=text, by="ada", **keys)


def history() -> list[Event]:
    """Return the events of a session about a full disk. Its last turn is running and waits for permission."""
    log = SampleLog()
    log.add("created", schema=1, agent="claude", model="opus", title="disk full on db1", by="ada", host="db1")
    _finished_turn(log)
    _cancelled_turn(log)
    _turn_that_could_not_start(log)
    _running_turn(log)
    return log.events


def _finished_turn(log: SampleLog) -> None:
    turn = log.ask("What fills /var? The database refuses writes since 02:50.")
    log.add("session", turn=turn, session_id="8f2c1a34-5c1e-4f7e-9d41-d2f6a3b0c9e1", model="opus")
    log.add("delta", turn=turn, text="I'll look at ")
    log.add("delta", turn=turn, text="the disk first.")
    log.add("text", turn=turn, text="I'll look at the disk first, then at what grew **since yesterday**.")
    log.call(turn, "t1", "Bash", {"command": "df -h", "description": "Show disk usage"}, DISK)
    log.add("thinking", turn=turn, text="A full disk is mostly logs.\nLook at the largest first.")
    log.call(turn, "t2", "TodoWrite", {"todos": STEPS}, "Todos have been modified.")
    items = [{"text": step["content"], "status": step["status"]} for step in STEPS]
    log.add("plan", turn=turn, items=items)
    log.add("notice", turn=turn, text="The context was compacted.")
    du = "du -x /var --max-depth=3 2>/dev/null |\n  sort -rn | head -n 1800"
    log.call(turn, "t3", "Bash", {"command": du, "timeout": 120000}, JOURNALS, truncated=23_000)
    edit = {"file_path": "/etc/systemd/journald.conf", "old_string": BEFORE, "new_string": AFTER}
    log.call(turn, "t4", "Edit", edit, "The file has been updated.")
    log.add("tool", turn=turn, tool_id="t5", name="Task", input={"description": "Check the database"})
    log.call(turn, "s1", "Bash", {"command": "systemctl status postgresql"}, STATUS, parent="t5", failed=True)
    log.add("text", turn=turn, parent="t5", text="It stopped at 02:50 with `No space left on device`.")
    log.add("tool_result", turn=turn, tool_id="t5", output="PostgreSQL stopped at 02:50.", is_error=False)
    log.add("retry", turn=turn, attempt=2, error="529 overloaded")
    log.add("text", turn=turn, text=FOUND)
    usage = {"input_tokens": 12, "cache_read_input_tokens": 48_211, "output_tokens": 1320}
    said = "The journal holds 30 GB of 40."
    log.add(
        "result", turn=turn, is_error=False, result=said, duration_ms=48_211, usage=usage, cost_usd=0.0841
    )
    log.add("turn_end", turn=turn, status="ok", duration_ms=49_020)


def _cancelled_turn(log: SampleLog) -> None:
    turn = log.ask("And free it. Keep the last two days.")
    log.call(turn, "u1", "Bash", {"command": "journalctl --disk-usage"}, "bash: not found", failed=True)
    value = {"command": "journalctl --vacuum-time=2d"}
    log.add(
        "permission", turn=turn, request="r0", name="Bash", input=value, expires="2026-11-23T03:20:00.000Z"
    )
    log.add("answer", turn=turn, request="r0", allow=True, by="ada")
    log.add("queued", text="Then the mails.", by="ada")
    log.add("withdrawn", queued=len(log.events), by="ada")
    steer = "Keep the journal of this boot."
    log.add("queued", text=steer, by="ben", steer=True)
    log.add("steered", turn=turn, text=steer, by="ben", queued=len(log.events))
    log.add("queued", text="And the logs.", by="ada", key="k-1")
    log.add("cancelled", turn=turn, by="ada")
    log.add("turn_end", turn=turn, status="cancelled", duration_ms=8000)
    log.add("weather", turn=turn, sky={"over": ["db1", "<b>web3</b>"]})
    log.events.append({"id": len(log.events) + 1, "kind": "foreign", "text": "hello from echo"})
    log.add("repaired", offset=12_345, bytes=211, saved_as="events.jsonl.torn-12345")
    log.add("beside", session="00000002-0000-4000-8000-000000000000", action="disks", by="ada")
    log.add(
        "file",
        name="panel.jpg",
        path="uploads/panel.jpg",
        bytes=431_000,
        sha256="9e" * 32,
        type="image/jpeg",
        by="ada",
    )
    full = {"label": "Fullest disk", "status": "bad", "text": "/var 100 %", "value": 100.0}
    log.add("vitals", signs={"disk": full, "load": {**full, "label": "Load", "status": "ok", "text": "0.1"}})
    log.add("notified", cause="failed", about=turn, to="notify[0]", sent=True)
    log.add("revoked", name="Bash", by="ada")
    log.add("renamed", title="disk full on db1", by="ada")
    log.add("archived", archived=True, by="ada")


def _turn_that_could_not_start(log: SampleLog) -> None:
    waited = next(event["id"] for event in log.events if event.get("text") == "And the logs.")
    turn = log.ask("And the logs.", queued=waited, key="k-1")
    said = "The agent could not start: claude was not found. Install it or choose another agent."
    log.add("error", turn=turn, error=f"{said} Your prompt is kept as line {turn}.")
    log.add("turn_end", turn=turn, status="error", duration_ms=120)
    log.add("sealed", **{"from": 1, "lines": len(log.events), "prev": "", "sha256": "5c1b0a63f1d2e498" * 4})


def _running_turn(log: SampleLog) -> None:
    turn = log.ask("Once more.")
    log.call(turn, "v1", "Bash", {"command": "du -x /var"}, None)
    log.add("delta", turn=turn, text="While that runs:\n\nthe journal of **this** boot ")
    log.add("delta", turn=turn, text="is kept.")
    log.add("queued", text="Then restart the database.", by="ben", key="k-2")
    value = {"command": "rm -r /var/log/journal/*", "description": "Delete the old journals"}
    log.add(
        "permission", turn=turn, request="r1", name="Bash", input=value, expires="2026-11-23T03:29:00.000Z"
    )
