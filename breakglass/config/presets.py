"""The presets: prepared prompts, and those that exist without any table `[[presets]]`."""

from dataclasses import dataclass, field

from breakglass.settings import described, parse_text, setting


@dataclass(frozen=True, slots=True)
class Preset:
    """A prepared prompt, shown as a button: a table `[[presets]]`."""

    label: str = field(metadata=described(parse_text, "the text on the button"))
    text: str = field(metadata=described(parse_text, "the prompt"))
    agent: str | None = setting(
        None, parse_text, "show it only for sessions of this agent", default_words="any agent"
    )


PRESETS = (
    Preset(
        "Triage",
        "Something is wrong here. Find out what: load, memory, disks, failed units, recent errors.",
    ),
    Preset(
        "Memory",
        "What uses the memory of this machine, and is anything being killed because memory is short?",
    ),
    Preset("Disk", "Which file systems are full or nearly full, and what uses their space?"),
    Preset("Failed units", "Which systemd units have failed, and why?"),
)
"""The presets for an agent that understands sentences, unless the settings define presets."""
SHELL_PRESETS = (
    Preset("Load", "uptime; free -m; ps aux --sort=-%cpu | head -15"),
    Preset("Disk", "df -h; df -i | awk '$5 + 0 > 80'"),
    Preset("Failed units", "systemctl --failed --no-pager"),
    Preset("Recent errors", "journalctl -p err -n 50 --no-pager"),
)
"""The presets for a shell, unless the settings define presets."""
