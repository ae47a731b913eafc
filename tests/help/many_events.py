"""An agent for tests with the output format of Claude Code. Its prompt `N [SECONDS]` asks for N texts in that time."""

import json
import sys
import time

# Before the prompt may stand a record of what the agent did not see.
count, _, seconds = (
    json.loads(sys.stdin.readline())["message"]["content"].rpartition("\n\n")[2].partition(" ")
)
pause = float(seconds or 0) / int(count)
session = {"session_id": "11111111-2222-4333-8444-555555555555"}
print(json.dumps({"type": "system", "subtype": "init", "model": "many", **session}))
for number in range(int(count)):
    block = {"type": "text", "text": f"event {number} " + "x" * (number % 300)}
    line = {"type": "assistant", "message": {"role": "assistant", "content": [block]}, **session}
    print(json.dumps({**line, "parent_tool_use_id": None}), flush=bool(pause))
    time.sleep(pause)
result = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "done",
    "total_cost_usd": 0.25,
}
print(json.dumps({**result, "duration_ms": 1, "usage": {"input_tokens": 1, "output_tokens": 2}, **session}))
