"""Breakglass: an emergency console for a machine in trouble. A session is an append-only file; see docs/design.md."""

__version__ = "0.1.0"
