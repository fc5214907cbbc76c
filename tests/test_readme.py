"""What the README says runs, and is true."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 12
    exec(compile(code, "README.md", "exec"), {})
    predicted, measured, *_ = re.findall(r"\d\.\d+", capsys.readouterr().out)
    # Two classes at +-(1, ..., 1) in d = 256: log(256) / 2, with no correction.
    assert abs(float(predicted) - 2.7726) < 1e-4
    assert abs(float(measured) - 2.7726) < 0.02


def test_every_public_name_of_the_index_exists():
    import importlib.util

    rows = re.findall(r"^\| .*? \| `jaxwin\.([a-z_.]+)\.(\w+)` \|$", README, re.M)
    assert len(rows) > 10
    for module, name in rows:
        # A package is an attribute of the one above only once it is imported.
        found = importlib.util.find_spec(f"jaxwin.{module}.{name}")
        room = importlib.import_module(f"jaxwin.{module}")
        assert found or hasattr(room, name), name
