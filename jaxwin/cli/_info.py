import dataclasses
import json

from jaxwin.cli._terminal import tell

_CEILINGS = {
    "matrix_product_gflops": ("matrix product", "GFLOP/s"),
    "exponentials_g": ("exponentials", "10^9/s"),
    "normals_g": ("normal random numbers", "10^9/s"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """Devices and versions, what this machine reaches, and flags worth setting."""

    json: bool = False
    """Print it as JSON."""

    def run(self) -> None:
        """Measure for some seconds and print."""
        from jaxwin.execution import info

        found = info()
        if self.json:
            tell(json.dumps(dataclasses.asdict(found), indent=2))
            return
        devices = ", ".join(
            f"{count} x {kind}" for kind, count in found.devices.items()
        )
        lines = [
            f"devices   {devices}; {found.cores} CPU cores",
            "versions  " + ", ".join(f"{k} {v}" for k, v in found.versions.items()),
            "reached by one device in float32, now:",
        ]
        for key, (what, unit) in _CEILINGS.items():
            lines.append(f"  {what:28} {found.ceilings[key]:8.3g} {unit}")
        for flag, is_set in found.flags.items():
            lines.append(f"XLA_FLAGS {flag}  ({'set' if is_set else 'worth setting'})")
        tell("\n".join(lines))
