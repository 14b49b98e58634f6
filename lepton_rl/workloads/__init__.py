"""Workloads: traces read from files, generators, windows over them."""
