"""Cost of `jaxwin report` as a newcomer pays it: a cold process, compilation included.

    python benchmarks/report_command.py ["FILE --classes 1,8 --points 2000" ...]

Each row is one process of `jaxwin report` (the digits, then each line of arguments
given, file first): wall time, process CPU time (a time "on two cores" is half of it)
and peak resident memory.
Writes benchmarks/results/report_command.json, and the table on standard output.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "report_command.json"
PROGRAM = [sys.executable, "-c", "from jaxwin.cli import run; run()", "report"]


def measure(argv: list[str]) -> dict:
    """Run one command in an empty folder and count what it used."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*PROGRAM, *argv], cwd=folder, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"jaxwin report {' '.join(argv)} failed with {status}")
    return {
        "command": " ".join(["jaxwin report", *(Path(a).name for a in argv)]),
        "wall_s": round(wall, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    """Measure every row and store the table."""
    given = [shlex.split(line) for line in sys.argv[1:]]
    files = [[str(Path(file).resolve()), *rest] for file, *rest in given]
    runs = [[], ["--quick"], *files]
    rows = [measure([*argv, "--quiet", "--json", "--no-cache"]) for argv in runs]
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": version("jax"),
    }
    RESULTS.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"{machine['cores']} cores, Python {machine['python']}, jax {machine['jax']}")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
