"""All benchmarks, each in a process of its own: `python benchmarks/everything.py`.

About half an hour on two cores. Every one writes its table into benchmarks/results/.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    "score",
    "pruning",
    "stepper",
    "samplers",
    "metrics",
    "uturn",
    "critical_windows",
    "cli_start",
    "devices",
    "report_command",
)


def main() -> None:
    """Run them in turn; the first that fails stops the rest."""
    for name in NAMES:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py"], check=True)


if __name__ == "__main__":
    main()
