"""How sites are unmasked: in which order and how many at once."""

# Which masked site comes next.
ORDERS = ("random", "left")


def check_per_step(per_step: int) -> None:
    """Raise ValueError unless at least one site is unmasked a step."""
    if per_step < 1:
        raise ValueError(
            f"`per_step` is {per_step}; it must be at least 1, the sites that are "
            f"unmasked at once."
        )
