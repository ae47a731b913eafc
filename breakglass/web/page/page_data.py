"""The values that the page templates get: one type for each page template. Pure.

A template may use the fields of `CommonData` and of its own type. Any other name is an error (StrictUndefined).
"""

from typing import Any, ClassVar

from markupsafe import Markup
from msgspec import Struct

from breakglass.actions import Action
from breakglass.config.presets import Preset
from breakglass.store.workspace import Entry
from breakglass.turns.job import ActionStep
from breakglass.vitals import Vitals
from breakglass.web.page.rows import AgentChoice, SessionList, SessionRow


class CommonData(Struct, frozen=True):
    """The values that every page gets."""

    host: str
    """The name of the machine; before login the address that the browser asked, with its port."""
    csrf: str
    """The CSRF token of the forms; "" before login."""
    prefix: str
    """The path of the pages of these sessions: `home`, and for the copy of another host what names it."""
    home: str
    """The setting `prefix`: the path under which a proxy publishes this server; "" without one."""
    static: str
    """The path of the static files, below `home`."""
    now: str
    """RFC 3339, UTC."""
    may_act: bool
    """Whether the user may do more than read."""
    vitals: Vitals | None = None
    """None before login, and until they are measured."""
    read_only: str = ""
    """The sentence that says why the data root is read-only; "" if it is not, and before login."""


class Page(Struct, frozen=True):
    """The values that one page gets, besides `CommonData`."""

    template: ClassVar[str]


class PromptBox(Struct, frozen=True):
    """The form that sends a prompt."""

    presets: tuple[Preset, ...]
    key: str
    """The idempotency key of the form without JavaScript, fresh for each page."""
    is_shell: bool
    """Whether the agent takes shell commands instead of sentences."""
    models: tuple[str, ...] = ()
    """The models that the agent offers, as far as is known. Any other name can be typed."""
    can_steer: bool = False
    """Whether the agent reads a prompt while a turn runs."""
    chosen: Preset | None = None
    """The ready prompt that fills the field: the page's address names it. Scripts fill the field themselves."""
    go_on: str = ""
    """The prompt that lets the agent continue after its turn was cut short; "" otherwise."""
    over_budget: str = ""
    """The sentence that says that today's budget is spent, "" while it is not."""


class LoginPage(Page, frozen=True):
    """The form that asks for the access token."""

    template: ClassVar[str] = "login.html"

    next: str
    """The path to open after the login."""
    error: str | None = None


class ErrorPage(Page, frozen=True):
    """What went wrong with a request."""

    template: ClassVar[str] = "error.html"

    status: int
    title: str
    detail: str
    """What happened, what was kept and what to do."""
    session: str = ""
    """The session whose page it was, "" if it was none's, or if there is no such session."""


class DeletePage(Page, frozen=True):
    """The question before a session is deleted for good."""

    template: ClassVar[str] = "delete.html"

    session: SessionRow
    used: int
    """The bytes that its log and its workspace use on disk."""
    problem: str
    """Why it cannot be deleted now; "" if it can."""


class ListPage(Page, frozen=True):
    """All sessions, and the form for a new one."""

    template: ClassVar[str] = "sessions.html"

    sessions: SessionList
    query: str
    """The words of the search; "" without a search."""
    archived: bool
    """Whether archived sessions are listed too."""
    agents: list[AgentChoice]
    targets: tuple[str, ...]
    """The names of the machines that a new session can be about, besides this one."""
    budget: float | None
    """The US dollars that a day may cost, None without a limit."""
    box: PromptBox


class ActionsPage(Page, frozen=True):
    """The actions, which need no model."""

    template: ClassVar[str] = "actions.html"

    actions: list[Action]
    key: str
    """The beginning of the idempotency keys of the forms, fresh for each page."""
    session: SessionRow | None
    """The session in which they run; None for a new one."""


class GivenParam(Struct, frozen=True):
    """A field of an action's page."""

    name: str
    known: dict[str, Any]
    """Its kind and what that needs: `Param.described`."""
    value: str
    """What the user gave; "" if nothing yet."""


class ActionPage(Page, frozen=True):
    """One action, before it runs."""

    template: ClassVar[str] = "action.html"

    action: Action
    params: list[GivenParam]
    steps: list[ActionStep]
    """The programs that run, the action's own last. Empty until every value is given."""
    word: str
    """The word to type; "" if none is needed."""
    key: str
    """The idempotency key of the form."""
    session: SessionRow | None
    """The session in which it runs; None for a new one."""
    reason: str
    error: str
    """What is wrong with the fields; "" if nothing."""


class HitRow(Struct, frozen=True):
    """One hit of a search."""

    session: str
    title: str
    """The heading of its session."""
    line: int
    kind: str
    ts: str
    before: str
    found: str
    after: str
    """The text before the word, the word, and the text after it."""


class StatsPage(Page, frozen=True):
    """Numbers of all sessions, or of one."""

    template: ClassVar[str] = "stats.html"

    session: SessionRow | None
    """None for all sessions."""
    since: str
    """The text that chooses the turns, "" for all."""
    numbers: dict[str, Any]
    """`Stats.as_json`."""
    turns: list[dict[str, Any]]
    """`Timeline.turns`, of one session only."""


class FilesPage(Page, frozen=True):
    """The files in the workspace of a session."""

    template: ClassVar[str] = "files.html"

    session: SessionRow
    files: list[Entry]
    is_complete: bool
    """Whether no more files are there than are shown."""


class HostRow(Struct, frozen=True):
    """A host in the list of all hosts."""

    name: str
    told: str
    """How true its copy is, such as `Live`."""
    sign: str
    """The status of a vital sign that stands for it."""
    asking: int
    running: int
    problem: str


class FleetRow(Struct, frozen=True):
    """A session in the list of all hosts."""

    host: str
    told: str
    """How true the copy of its host is, "" if nothing is to say."""
    row: SessionRow


class HostsPage(Page, frozen=True):
    """All hosts whose sessions are copied here, and their sessions in one list."""

    template: ClassVar[str] = "hosts.html"

    hosts: list[HostRow]
    rows: list[FleetRow]
    total: int
    """How many sessions there are; more than `rows` if the list is limited."""


class SearchPage(Page, frozen=True):
    """A search in all sessions, or in one. Its hits are sent when they are found."""

    template: ClassVar[str] = "search.html"

    query: str
    kind: str
    session: str
    """The id of the only session that is searched, "" for all."""
    kinds: tuple[str, ...]
    problem: str
    """Why nothing was searched, "" if it was."""


class SessionPage(Page, frozen=True):
    """One session: a part of its transcript, with the list beside it."""

    template: ClassVar[str] = "session.html"

    session: SessionRow
    sessions: SessionList
    events: list[Markup]
    """The HTML of the events shown, in order."""
    first_id: int
    last_id: int
    """The first and the last line shown."""
    earlier: bool
    later: bool
    """Whether the log has lines before and after those shown."""
    agents: list[AgentChoice]
    """The agents with which the session can go on."""
    log_path: str
    """The path of the log on this machine."""
    keepalive: float
    """Seconds between two `keepalive` events of the stream."""
    box: PromptBox
    order_key: str = ""
    """The key of the next command for the host of this copy; "" if the page does not act there."""
    show: str = ""
    """The name of the filter through which the events are shown, "" for none."""
