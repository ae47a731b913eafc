"""The actions that exist without any settings. All of them only read. Pure."""

from breakglass.actions import Action


def _reads(name: str, label: str, about: str, group: str, *command: str) -> Action:
    return Action(name, command, "reads", label, about, group)


_OOM = "fe6faa94e7774663a0da52717891d8ef"
"""SD_MESSAGE_UNIT_OUT_OF_MEMORY of systemd's sd-messages.h."""

BUILT_IN = {
    action.name: action
    for action in (
        _reads(
            "vital-signs",
            "Vital signs",
            "Load, pressure, memory and swap, from the kernel.",
            "Machine",
            *("head", "-v", "-n", "12", "--", "/proc/uptime", "/proc/loadavg", "/proc/pressure/cpu"),
            *("/proc/pressure/memory", "/proc/pressure/io", "/proc/meminfo", "/proc/swaps"),
        ),
        _reads(
            "top-processes",
            "Top processes",
            "The processes that use the processor and the memory.",
            "Machine",
            *("top", "-b", "-n", "1", "-w", "160"),
        ),
        _reads(
            "disks",
            "Disks and inodes",
            "How full each local file system is.",
            "Machine",
            *("df", "-h", "-l", "--output=target,fstype,size,used,avail,pcent,iavail,ipcent"),
        ),
        _reads(
            "failed-units",
            "Failed units",
            "The units of systemd that have failed.",
            "Services",
            *("systemctl", "list-units", "--failed", "--no-pager", "--full"),
        ),
        _reads(
            "boot-errors",
            "Errors of this boot",
            "The last 200 errors in the journal since the machine started.",
            "Services",
            *("journalctl", "-b", "-p", "err", "-n", "200", "--no-pager"),
        ),
        _reads(
            "oom-kills",
            "OOM kills",
            "Units that lost a process because memory was short, and errors of the kernel, since the start.",
            "Services",
            *("journalctl", "-b", "-n", "200", "--no-pager"),
            *("_TRANSPORT=kernel", "PRIORITY=3", "+", f"MESSAGE_ID={_OOM}"),
        ),
        _reads(
            "listening-ports",
            "Listening ports",
            "The sockets on which programs listen.",
            "Access",
            *("ss", "-tulpn"),
        ),
        _reads(
            "last-logins",
            "Last logins",
            "Who logged in, and from where.",
            "Access",
            *("last", "-n", "20", "-w", "-F"),
        ),
    )
}
