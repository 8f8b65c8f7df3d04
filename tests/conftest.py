"""Shared by the unit tests and by nbval's run over the notebooks."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_collectstart(collector):
    """Text a library writes to stderr, and HTML twins of plain outputs, are not compared."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
