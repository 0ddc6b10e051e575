"""A store of its own for each test, which has told nobody of damage yet."""

import pytest
from samples import recipe, result

from lab.store import Store, index


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(index, "_told", set())


@pytest.fixture
def stored(store):
    store.fetch(recipe(), result)
    return store
