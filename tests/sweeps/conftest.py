"""A store and measurements of one test alone."""

import pytest

from lab.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    return Store(tmp_path / "store")
