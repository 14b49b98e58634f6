"""Measurements; nothing of this is installed."""
