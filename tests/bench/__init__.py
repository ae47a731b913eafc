"""The bench: measures this server and other common designs in the same run, on the same machine.

    python -m tests.bench [--quick] [--only replay,live] [--servers ours,nginx]

`workloads/` has one module for each kind of workload. A workload yields samples, its rounds interleaved over the
servers under test (`adapters/`). `report.py` writes the samples into docs/performance.md, and `plot.py` draws them.
All connections are on the loopback interface. Every loop is bounded in count or time.
"""
