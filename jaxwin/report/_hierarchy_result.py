"""Level curves of one channel on its clocks, with what was predicted."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing, hierarchy
from jaxwin.io import field


class HierarchyCurves(eqx.Module):
    """What one channel does to every level, root first.

    average: over rule tables. snr, alpha_bar, half_snr, naive_snr: of the Gaussian
    channel; the last is where a leaf's mean belief is that of eps*, a naive prediction
    of where the class is lost. deep: where infinitely deep trees lose it, an SNR for
    the Gaussian channel; None where too costly. mean_field_same, mean_field_chi: of
    `eps_belief`. tables: all that was measured, by table.
    """

    channel: str = eqx.field(static=True)
    average: hierarchy.DisorderAverage
    deep: hierarchy.DeepThreshold | None
    snr: Float[np.ndarray, " t"] | None = field(("noise",), "SNR")
    alpha_bar: Float[np.ndarray, " t"] | None = field(("noise",), "")
    half_snr: Crossing | None = field(("level",), "SNR")
    naive_snr: float | None = field((), "SNR", "naive: by the mean belief")
    mean_field_same: Float[np.ndarray, "t l"] | None = field(
        ("noise", "level"), "probability", "root first"
    )
    mean_field_chi: Float[np.ndarray, " t"] | None = field(("noise",), "leaves")
    tables: hierarchy.LevelCurves = field(("table",), "")

    @property
    def noise(self) -> Float[np.ndarray, " t"]:
        """Noises of the channel."""
        return self.average.noise

    def place(self, noise: float) -> float:
        """A noise where it is drawn and told: as SNR for the Gaussian channel."""
        return noise if self.snr is None else float(1 / np.expm1(2 * noise))


def channel_curves(
    channel: str,
    tables: Sequence[hierarchy.LevelCurves],
    naive_snr: float | None,
    expected: hierarchy.MeanFieldCurves | None,
    deep: hierarchy.DeepThreshold | None,
) -> HierarchyCurves:
    """One channel's curves, averaged over rule tables."""
    average = hierarchy.average(tables)
    gaussian, noise = channel == "gaussian", average.noise
    kept = chi = None
    if expected is not None:
        kept = np.asarray(expected.kept, float)[:, ::-1]
        chi = np.asarray(expected.susceptibility, float)
    # Tables that stopped at different errors differ in what is no array.
    structure = jax.tree.structure(tables[0])
    stacked = zip(*map(jax.tree.leaves, tables), strict=True)
    return HierarchyCurves(
        channel=channel,
        average=average,
        deep=deep,
        snr=1 / np.expm1(2 * noise) if gaussian else None,
        alpha_bar=np.exp(-2 * noise) if gaussian else None,
        half_snr=to_snr(average.half) if gaussian else None,
        naive_snr=naive_snr,
        mean_field_same=kept,
        mean_field_chi=chi,
        tables=jax.tree.unflatten(structure, [np.stack(leaf) for leaf in stacked]),
    )


def to_snr(times: Crossing) -> Crossing:
    """OU times as SNRs 1 / (e^{2t} - 1), which fall with time."""
    clock = lambda time: 1 / jnp.expm1(2 * time)
    times = jax.tree.map(jnp.asarray, times)
    turned = times.read_on(clock)
    return Crossing(
        turned.time, turned.stderr, turned.high, turned.low, jnp.asarray(times.found)
    )
