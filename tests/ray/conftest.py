"""One Ray for all tests of this folder, which run with `make test-ray` only."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.ray.cluster import ray_nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[list[str]]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed; make test-ray installs it")
    with ray_nodes() as ids:
        yield ids
