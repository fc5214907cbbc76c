"""What all commands share: options, the float type, the cache of programs."""

import dataclasses
import functools
import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax
import tyro

from jaxwin._checks import BadInput
from jaxwin.cli import _terminal
from jaxwin.cli._terminal import tell

if TYPE_CHECKING:
    from jaxwin.report import Plan, Study, SymmetryPlan

Arg = tyro.conf.arg


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every command takes."""

    out: Annotated[str | None, Arg(metavar="DIR")] = None
    """Folder of the results; jaxwin-COMMAND if left out."""
    seed: int = 0
    """Seed of all random numbers."""
    precision: Literal["auto", "float32", "float64"] = "auto"
    """Float type; auto is float64 on a CPU and float32 on an accelerator."""
    quick: bool = False
    """Coarser, in about a minute on two cores."""
    until_stderr: Annotated[float | None, Arg(metavar="ERROR")] = None
    """Measure until the curves' standard errors are below this."""
    plan: bool = False
    """Tell by a short pilot what the run would cost, and stop."""
    resume: bool = False
    """Go on from the finished blocks of a run that was stopped."""
    no_cache: bool = False
    """Compile afresh; otherwise programs are kept in your cache folder."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print the summary as JSON on standard output, and nothing else there."""

    def configure(self) -> None:
        """Choose float type and cache of programs before the first array is made."""
        if not self.no_cache:
            keep_programs()
        on_cpu = jax.default_backend() == "cpu"
        wide = on_cpu if self.precision == "auto" else self.precision == "float64"
        jax.config.update("jax_enable_x64", wide)

    def stages(self) -> AbstractContextManager[Callable]:
        """A function from the name of a stage to its progress callback."""
        return _terminal.stages(self.quiet, self.resume)

    def study(
        self,
        make: "Callable[..., Study]",
        place: str,
        plan: "Callable[..., Plan | SymmetryPlan] | None" = None,
    ) -> None:
        """Run a study, or plan it; save its folder, print its table or summary.

        plan: What tells the cost, of the same options; `plan_study` if left out.
        """
        from jaxwin._files import check_place
        from jaxwin.execution import remove_runs
        from jaxwin.report import plan_study, write_study

        self.configure()
        command = command_line()
        place = place if self.out is None else self.out
        target = check_place(place, "--out")
        blocks = target.with_name(f".{target.name}.blocks")
        options = self.measuring()
        if self.plan:
            if plan is None:
                planned = functools.partial(make, seed=options.pop("seed"))
                plan = functools.partial(plan_study, planned)
            with self.stages() as stage:
                cost = plan(stage=stage, **options)
            self.tell_plan(cost)
            return
        with self.stages() as stage:
            kept = {"folder": blocks, "resume": self.resume, "stage": stage}
            found = make(**kept, **options)
        try:
            write_study(found, place, command)
        except OSError as error:
            raise unwritable(place, error) from error
        remove_runs(blocks)
        self.tell_reached(found.largest_error, found.count)
        if self.json:
            tell(json.dumps(found.summary, indent=2, allow_nan=False))
            return
        tell(found.table)
        tell(f"Written to {place}")

    def tell_plan(self, cost: Any, **parts: Any) -> None:
        """What a run would cost, and parts of it that are planned on their own."""
        fields = lambda one: dataclasses.asdict(one) | {"reached": one.reached}
        told = fields(cost) | {name: fields(one) for name, one in parts.items()}
        if self.json:
            tell(json.dumps(told, indent=2))
            return
        tell("\n".join([str(cost), *(f"{k}: {v}" for k, v in parts.items())]))

    def tell_reached(self, worst: float, count: int) -> None:
        """Say so where the errors asked for would have taken too long."""
        if self.until_stderr is not None and worst >= self.until_stderr:
            print(
                f"jaxwin: --until-stderr {self.until_stderr:g} was not reached: "
                f"{worst:.2g} after {count} noised points.",
                file=sys.stderr,
            )

    def measuring(self) -> dict[str, Any]:
        """The options of a run that are the same in Python."""
        return {
            "seed": self.seed,
            "quick": self.quick,
            "until_stderr": self.until_stderr,
        }


def command_line() -> str:
    """The command to repeat this run, without folders of this machine."""
    return shlex.join(["jaxwin", *(last_part(word) for word in sys.argv[1:])])


def last_part(word: str) -> str:
    """A word of the line, without the folders of a path."""
    # Not Path.exists, which raises where a word is too long for a name.
    return (Path(word).name or word) if os.path.exists(word) else word


def unwritable(place: str, error: OSError) -> BadInput:
    """What is said where results cannot be written."""
    return BadInput(
        f"`--out` is {place!r}, which cannot be written ({error.strerror}); make room "
        f"there or give another place, and go on with --resume."
    )


def keep_programs() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told where."""
    from platformdirs import user_cache_path

    from jaxwin._files import sha256
    from jaxwin.execution import cpu_features

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Machines that share a home may not run each other's programs.
        machine = sha256(" ".join(sorted(cpu_features())).encode())[:16]
        place = user_cache_path("jaxwin", appauthor=False) / "programs" / machine
        jax.config.update("jax_compilation_cache_dir", str(place))
    # Many small programs: by default only those that compile for a second are kept.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
