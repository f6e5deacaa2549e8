"""The fake in memory does what Redis does."""

import pytest

from stream.store import StateStore
from tests.fakes import MemoryStore
from tests.suites.state_store import StateStoreSuite


class TestMemoryStore(StateStoreSuite):
    @pytest.fixture
    def store(self) -> StateStore:
        return MemoryStore()
