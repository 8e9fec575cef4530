"""Fixtures for every test: none sees the developer's own fabric, none leaves a task behind."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

pytest_plugins = ["helpers.server", "helpers.cluster"]


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No FABRIC_* variable and no fabric of this machine reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FABRIC_")]:
            patch.delenv(name)
        patch.setenv("FABRIC_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _nothing_left_running(request: pytest.FixtureRequest) -> None:
    """A coroutine test, with all its fixtures gone, has ended every task that it began."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_end")


@pytest_asyncio.fixture
async def _tasks_end() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"still running: {sorted(task.get_name() for task in left)}"
