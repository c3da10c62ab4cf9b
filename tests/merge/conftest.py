"""Real model folders, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.merge.folders import real_models


@pytest.fixture(scope="session")
def llamas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base`, `math`, `code` and `text`: see `folders.real_models`. Tests leave it as it is."""
    return real_models(tmp_path_factory.mktemp("llamas"))
