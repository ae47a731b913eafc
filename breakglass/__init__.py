"""Breakglass: the emergency door to a machine in trouble. The file is the bus; see docs/design.md."""

__version__ = "0.1.0"
