"""Tests that run the real agents against the fake model. `python -m tests.help.programs` installs them first."""
