"""Tests of the ACP dialogue."""

EARLIER = "e4b1f0c2"
"""The session that `library_agent` knows. It is here because the import of that agent is slow."""
