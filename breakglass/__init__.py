"""Runs coding agents on a machine in trouble. All processes communicate through the log; see docs/design.md."""

__version__ = "0.2.0"
