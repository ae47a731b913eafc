"""Tests that only root can run: they change owners or mount file systems. CI runs as root."""

import os

import pytest


def require_superuser(why: str) -> None:
    """Skip the test unless it runs as root. In CI it fails instead, so that no test is skipped unnoticed."""
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        pytest.fail(f"needs root, {why}; run the tests in CI as root")
    pytest.skip(f"needs root, {why}")
