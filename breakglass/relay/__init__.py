"""Several hosts: what is shipped from a host to a hub, and how. docs/fleet.md explains it to an operator.

    host: sessions/<id>/events.jsonl ─ ship.py ─▶ engine (NATS) ─ mirror.py ─▶ hub: hosts/<host>/sessions/<id>/

The file of the host stays the truth. Neither side keeps a state besides the logs and the stream. The runner and the
web server import nothing of this package, because they must work without the engine and its library.
"""
