"""Strict settings for every test; they must be in force before JAX starts."""

import importlib.metadata
import os
import zlib

# Most of the time of these tests is compilation, and half of that is of fused loops.
# Newer versions do not know the flag: there the programs are those that users get. So
# compiled, one program crashed in jaxlib 0.10.1: the gradient of a run of UniPC-2.
old = importlib.metadata.version("jaxlib").startswith("0.10.")
plain = " --xla_cpu_use_fusion_emitters=false" if old else ""
flags = "--xla_force_host_platform_device_count=4" + plain
os.environ.setdefault("XLA_FLAGS", flags)

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests marked f32 run with 64-bit floats off, in a process of their own.
jax.config.update("jax_enable_x64", os.environ.get("JAXWIN_TEST_X64", "1") == "1")

# Where to keep compiled programs, if anywhere: runs that follow each other share them.
if "JAXWIN_TEST_PROGRAMS" in os.environ:
    # A folder for each worker, so that nobody reads what another has half written.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    worker += "-x64" if jax.config.read("jax_enable_x64") else "-x32"
    folder = os.path.join(os.environ["JAXWIN_TEST_PROGRAMS"], worker)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# The longest files, so that no worker is left with one of them at the end.
FIRST = {
    *("test_float32.py", "test_targets.py", "test_report_page.py", "test_drivers.py"),
    *("test_notebooks.py", "test_symmetry.py", "test_symmetry_cascade.py"),
}


def pytest_addoption(parser):
    told = "of the tests marked long, take part K (modulo N) of N"
    parser.addoption("--turn", metavar="K/N", default="0/1", help=told)


def pytest_collection_modifyitems(config, items):
    """The longest first; tests marked f32 are left to their own process."""
    items.sort(key=lambda item: item.path.name not in FIRST)
    turn, turns = map(int, config.getoption("turn").split("/"))
    double = jax.config.read("jax_enable_x64")

    def left_out(item):
        # By name: a test keeps its turn when others come or go.
        other = (zlib.crc32(item.nodeid.encode()) - turn) % turns != 0
        long, single = map(item.get_closest_marker, ("long", "f32"))
        return (other and long) or (double and single)

    config.hook.pytest_deselected(items=[item for item in items if left_out(item)])
    items[:] = [item for item in items if not left_out(item)]


@pytest.fixture(autouse=True, scope="module")
def _release_compiled_programs():
    """Drop the programs of a finished module: they would fill the memory."""
    yield
    jax.clear_caches()
