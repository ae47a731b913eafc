"""FastAPI on uvicorn, twice: a queue per subscriber, and sse-starlette.

    python fast.py PORT

Events are kept in a list; `/memory` is what the obvious design does, `/starlette` what that library is for.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

lines: list[str] = []
queues: set["asyncio.Queue[tuple[int, str]]"] = set()
appended = asyncio.Condition()


async def publish(request: Request) -> Response:
    """Take lines, one event each."""
    for line in (await request.body()).decode().splitlines():
        lines.append(line)
        for queue in queues:
            queue.put_nowait((len(lines), line))
    async with appended:
        appended.notify_all()
    return Response(status_code=204)


async def memory() -> StreamingResponse:
    """Replay and go on, from a queue of one's own."""

    async def events() -> AsyncIterator[str]:
        queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        queues.add(queue)
        try:
            for number, line in enumerate(lines[:], 1):
                yield f"id: {number}\ndata: {line}\n\n"
            while True:
                number, line = await queue.get()
                yield f"id: {number}\ndata: {line}\n\n"
        finally:
            queues.discard(queue)

    return StreamingResponse(events(), media_type="text/event-stream")


async def starlette() -> Response:
    """Replay and go on, from the list, woken by a condition."""

    async def events() -> AsyncIterator[ServerSentEvent]:
        number = 0
        while True:
            while number < len(lines):
                number += 1
                yield ServerSentEvent(data=lines[number - 1], id=str(number))
            async with appended:
                while number == len(lines):
                    await appended.wait()

    return EventSourceResponse(events(), sep="\n")


async def health() -> Response:
    """Answer."""
    return Response(status_code=204)


app = FastAPI()
app.add_api_route("/publish", publish, methods=["POST"])
app.add_api_route("/memory", memory)
app.add_api_route("/starlette", starlette)
app.add_api_route("/health", health)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", backlog=4096)
