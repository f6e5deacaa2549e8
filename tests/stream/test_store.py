"""The fake in memory does what Redis does."""

import pytest

from stream.store import StateStore
from tests.fakes import MemoryStore
from tests.suites.keeping_store import KeepingStoreSuite
from tests.suites.state_store import StateStoreSuite


class TestMemoryStore(StateStoreSuite, KeepingStoreSuite):
    @pytest.fixture
    def store(self) -> StateStore:
        return MemoryStore()
