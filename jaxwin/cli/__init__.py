"""The command line: parse, call one public function, save. No physics."""

import os

# Before JAX is imported. A program from the cache is announced as made for another
# machine, for features that are hints to the compiler and no instructions; a failure of
# XLA raises all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from jaxwin.cli._main import main as main, run as run
