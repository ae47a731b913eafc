"""Give waiting prompts to the agent of a running turn. Each prompt is recorded before the agent gets it."""

from collections.abc import Iterable

from breakglass.events import Event
from breakglass.store import log
from breakglass.turns.record import TurnRecord


def record_next(record: TurnRecord) -> Event | None:
    """Record that the agent gets the first waiting prompt that may steer it. Return its event, None if none does.

    A prompt for another agent or model, or with files, waits for a turn of its own. Raises CannotRecord.
    """
    if record.is_stopping or not any(each.steer for each in record.state.queued):
        return None
    with record.log.exclusive():  # a user may withdraw it, or stop the turn, at the same time
        record.read_others()
        for waiting in record.state.queued:
            prompt = log.read_one(record.log.fd, waiting.id)
            if waiting.steer and not record.is_stopping and _is_for_this_turn(prompt, record.state.agent):
                given = {"text": prompt["text"], "by": prompt["by"], "queued": waiting.id}
                return {**given, "id": record.append("steered", **given)}
    return None


def _is_for_this_turn(prompt: Event, agent: str) -> bool:
    return prompt.get("agent") in (None, agent) and not prompt.get("model") and not prompt.get("files")


def queue_again(record: TurnRecord, unread: Iterable[int]) -> None:
    """Put prompts that the agent got and did not read back into the queue, unless a user stopped the turn.

    `unread` are the ids of their `steered` events. Raises CannotRecord.
    """
    for number in unread:
        if not record.state.cancelled:
            event = log.read_one(record.log.fd, number)
            record.append_outside("queued", {"text": event["text"], "by": event["by"], "steer": True})
