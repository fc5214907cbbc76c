"""The house stands: imports point down, classes are abstract or final."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import pytest

import jaxwin

LAYERS = [
    # `_checks` lies below DESIGN's 1, since `_files` raises its BadInput.
    {"_typing", "_checks"},
    {"_numerics", "_files"},
    {"_streaming", "_random", "_host"},
    {"targets", "processes", "metrics", "execution", "datasets", "io"},
    {"channels", "scores"},
    {"samplers"},
    {"learned"},
    {"analysis"},
    {"plots"},
    {"report"},
    {"cli"},
]
RANK = {name: i for i, layer in enumerate(LAYERS) for name in layer}
# What `import jaxwin` must not load (DESIGN 2).
HEAVY = "flax matplotlib diffrax optimistix xarray sklearn tyro".split()
ROOT = Path(jaxwin.__file__).parent


def upward_imports(root: Path) -> list[str]:
    """Imports of a package that do not point to a lower layer, or to its own room."""
    found = []
    for path in root.rglob("*.py"):
        here = path.relative_to(root).with_suffix("").parts[0]
        if here == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for there in _rooms(node):
                if there != here and not RANK.get(there, 99) < RANK[here]:
                    found.append(f"{path.relative_to(root)} imports {there}")
    return found


def _rooms(node: ast.AST) -> list[str]:
    """Rooms of jaxwin that an import statement names; "" is the root package."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        # `from jaxwin import room` goes through the face of the package: not allowed.
        names = [node.module or ""]
    else:
        return []
    parts = [name.split(".") for name in names]
    return [(part + [""])[1] for part in parts if part[0] == "jaxwin"]


def not_abstract_or_final(classes: set[type]) -> list[str]:
    """Modules that derive from a concrete one, or whose name hides what they are."""
    found = []
    for cls in classes:
        bases = [b for b in cls.__bases__ if b.__module__.startswith("jaxwin")]
        if not all(b.__name__.startswith("Abstract") for b in bases):
            found.append(f"{cls.__name__} derives from a final class")
        abstract = bool(
            inspect.isabstract(cls)
            or getattr(cls, "__abstractvars__", ())
            or getattr(cls, "__abstractclassvars__", ())
        )
        if abstract != cls.__name__.startswith("Abstract"):
            found.append(f"{cls.__name__} is {'' if abstract else 'not '}abstract")
    return found


def test_imports_point_down():
    assert upward_imports(ROOT) == []


def test_networks_are_of_one_room():
    """Flax, optax and orbax: in `learned/` alone."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                module = node.module if isinstance(node, ast.ImportFrom) else None
                names = [module or ""]
            if {name.partition(".")[0] for name in names} & {"flax", "optax", "orbax"}:
                found.add(path.relative_to(ROOT).parts[0])
    assert found == {"learned"}


def test_every_room_has_a_layer():
    rooms = {p.relative_to(ROOT).with_suffix("").parts[0] for p in ROOT.rglob("*.py")}
    assert rooms - {"__init__"} <= set(RANK)


@pytest.mark.parametrize(
    "line",
    [
        "from jaxwin.analysis import speciation",
        "from jaxwin import analysis",
        "import jaxwin.analysis.collapse",
        "import jaxwin",
        "from jaxwin.processes import OrnsteinUhlenbeck",
    ],
)
def test_planted_upward_or_sibling_import_is_caught(tmp_path, line):
    room = tmp_path / "targets"
    room.mkdir()
    (room / "_law.py").write_text(f"def f():\n    {line}\n")
    assert len(upward_imports(tmp_path)) == 1


def test_every_module_is_abstract_or_final():
    names = [m.name for m in pkgutil.walk_packages(jaxwin.__path__, "jaxwin.")]
    modules = [importlib.import_module(name) for name in names]
    found = {c for m in modules for _, c in inspect.getmembers(m, inspect.isclass)}
    ours = {
        c
        for c in found
        if c.__module__.startswith("jaxwin") and issubclass(c, eqx.Module)
    }
    assert len(ours) > 20
    assert not_abstract_or_final(ours) == []


def test_planted_subclass_of_a_final_class_is_caught():
    from jaxwin.targets import GaussianMixture

    class Wider(GaussianMixture):
        pass

    assert not_abstract_or_final({Wider}) == ["Wider derives from a final class"]


def test_planted_concrete_class_with_an_abstract_name_is_caught():
    class AbstractNothing(eqx.Module):
        pass

    assert not_abstract_or_final({AbstractNothing}) == [
        "AbstractNothing is not abstract"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import jaxwin",
        "import jaxwin.io, jaxwin.targets, jaxwin.channels, jaxwin.scores",
    ],
)
def test_import_loads_no_heavy_package(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint(HEAVY)
    assert "jaxwin" in loaded


def test_rooms_are_reached_from_the_face():
    assert jaxwin.targets.GaussianMixture.__name__ == "GaussianMixture"
    assert "targets" in dir(jaxwin)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jaxwin.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_library_never_touches_the_global_configuration():
    touching = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if "jax.config.update" in path.read_text()
        and path.relative_to(ROOT).parts[0] != "cli"
    ]
    assert touching == []
