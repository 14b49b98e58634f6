"""Imported by the server that processes are forked from: they then need not load anything."""

from tests.system.live_kill.victim import load_rules

load_rules()
