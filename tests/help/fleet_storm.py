"""Kills and stops the programs of a fleet at random while its host works, and compares everything at the end."""

import json
import random
import signal

from breakglass.store.sessions import Session
from tests.help import warm
from tests.help.fleet import COPY_SECONDS, Engine, Fleet, add_session, append, start
from tests.help.waiting import wait_until


def run_storm(fleet: Fleet, *, kills: int, stops: int, victims: tuple[str, ...] = ()) -> None:
    """Kill and stop relay, mirror and engine, or only these victims, during appends. At the end all three agree."""
    chance = random.Random(kills)
    db1 = fleet.hosts["db1"]
    logs = [add_session(db1, f"storm {n}") for n in range(3)]
    programs = {"relay": start(db1, "relay"), "mirror": start(fleet.hub, "mirror")}
    deeds = ["kill"] * kills + ["stop"] * stops
    chance.shuffle(deeds)
    try:
        for number, deed in enumerate(deeds):
            append_some(chance, logs, number)
            if number % 4 == 0:  # let it work for a moment, so that a kill meets a program that ships
                wait_for_copies(fleet)
            victim = chance.choice(victims or ("relay", "mirror", "engine"))
            if victim == "engine":
                disturb_engine(fleet, chance.choice(fleet.engines), deed, logs)
            else:
                disturb(fleet, programs, victim, deed)
        wait_for_copies(fleet)
        assert all(each.poll() is None for each in programs.values())
    finally:
        for each in programs.values():
            end(each)
    fleet.agree()
    for log in logs:
        numbers = numbers_of(fleet, log)
        assert numbers == [*range(1, len(numbers) + 1)]


def append_some(chance: random.Random, logs: list[Session], number: int) -> None:
    """Append some lines of random length to each log."""
    for log in logs:
        append(log, *(f"{number} " + "y" * chance.randrange(2000) for _ in range(chance.randrange(1, 20))))


def wait_for_copies(fleet: Fleet) -> None:
    """Wait until the hub has all lines of all hosts."""
    wait_until(lambda: fleet.differences() == [], "the copies to equal the logs", COPY_SECONDS)


def disturb(fleet: Fleet, programs: dict[str, warm.Process], name: str, deed: str) -> None:
    """Stop the relay or the mirror for a moment, or kill it and start it again."""
    victim = programs[name]
    if deed == "stop":
        victim.send_signal(signal.SIGSTOP)
        add_session(fleet.hosts["db1"], "while it is stopped")
        victim.send_signal(signal.SIGCONT)
    else:
        end(victim)
        programs[name] = start(fleet.hosts["db1"] if name == "relay" else fleet.hub, name)


def disturb_engine(fleet: Fleet, engine: Engine, deed: str, logs: list[Session]) -> None:
    """Stop a server of the engine for a moment, or kill it and start it again.

    Of three servers the other two do the work meanwhile, so the copies become complete without it.
    """
    process = engine.process
    assert process
    if deed == "stop":
        process.send_signal(signal.SIGSTOP)
    else:
        engine.kill()
    append(logs[0], f"while {engine.name} is away")
    if len(fleet.engines) > 1:
        wait_for_copies(fleet)
    if deed == "stop":
        process.send_signal(signal.SIGCONT)
    else:
        engine.start()


def numbers_of(fleet: Fleet, session: Session) -> list[int]:
    """Return the numbers of the lines in the copy of a log."""
    return [json.loads(line)["id"] for line in fleet.copy("db1", session.id).read_bytes().split(b"\n")[:-1]]


def end(process: warm.Process) -> None:
    """Kill a program, and wait for its end."""
    process.kill()
    process.wait()
