"""Writes sample pages as files, to look at: `python -m tests.web.preview DIR`. No server, no stream."""
