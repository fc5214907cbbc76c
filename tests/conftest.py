"""Strict settings for every test; they must be in force before JAX starts."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests marked f32 run with 64-bit floats off, in a process of their own.
jax.config.update("jax_enable_x64", os.environ.get("JAXWIN_TEST_X64", "1") == "1")


@pytest.fixture(autouse=True, scope="module")
def _release_compiled_programs():
    """Drop the programs of a finished module: they would fill the memory."""
    yield
    jax.clear_caches()
