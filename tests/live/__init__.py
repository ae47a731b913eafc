"""Tests that run the real agents against the fake model. `python -m tests.programs` installs them first."""
