"""Every notebook runs from top to bottom, and its claims hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    cells = json.loads(path.read_text())["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert "assert" in code
    settings = {"JAXWIN_SHORT": "1"}
    if "JAXWIN_TEST_PROGRAMS" in os.environ:
        folder = Path(os.environ["JAXWIN_TEST_PROGRAMS"]) / "notebooks"
        settings["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    subprocess.run([sys.executable, "-c", code], env=os.environ | settings, check=True)


def test_there_are_notebooks():
    assert NOTEBOOKS
