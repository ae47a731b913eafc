"""Two servers with FastAPI on uvicorn: one with a queue for each subscriber, one with sse-starlette.

    python fast.py PORT

Both keep the events in a list. `/memory` is the simplest design, `/starlette` uses the library's own response.
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
    """Append each line as an event."""
    for line in (await request.body()).decode().splitlines():
        lines.append(line)
        for queue in queues:
            queue.put_nowait((len(lines), line))
    async with appended:
        appended.notify_all()
    return Response(status_code=204)


async def memory() -> StreamingResponse:
    """Send the events so far, then new ones from a queue of this subscriber."""

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
    """Send events from the list; wait for new ones with a condition."""

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
