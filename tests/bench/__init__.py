"""The bench: this server beside the obvious other designs, in one run, on the machine at hand.

    python -m tests.bench [--quick] [--only replay,live] [--servers ours,nginx]

`works/` has one module a kind of work; each yields samples, rounds interleaved over the servers under test
(`adapters.py`). `report.py` writes them into docs/performance.md, `plot.py` draws them. All of it talks to
loopback only, and every loop is bounded in count and time.
"""
