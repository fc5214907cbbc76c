"""Survival along the probability flow beside that of the reverse SDE."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key, Point, ScalarLike, TimesLike
from jaxwin.analysis.fairness._cross import Curves, cross
from jaxwin.analysis.fairness._flow_line import FlowLine, flow_on_a_line
from jaxwin.analysis.fairness._partition import Groups
from jaxwin.analysis.fairness._survival import GroupCurves, checked, group_curves
from jaxwin.analysis.fairness._times import Reader
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.io import field, to_json
from jaxwin.processes import AbstractProcess
from jaxwin.samplers import AbstractStep, DPMSolverPP, sample
from jaxwin.scores import ExactScore

# Where a flow ends, in log-SNR, and the least way it goes: sigma is 0.0025 alpha there,
# and the label of largest posterior the one that it has without noise.
CLEAN, LEAST = 12.0, 4.0


class ProbabilityFlow(AbstractObserved):
    """A model whose way back is its probability flow, with the likeliest label there.

    Simulated by a deterministic step on the exact score, from the noise to a log-SNR of
    12 in equal steps of log-SNR. The label of an end is the one of largest posterior.
    """

    model: Observed
    step: AbstractStep
    num_steps: int = eqx.field(static=True)

    def __check_init__(self):
        if not isinstance(self.model.channel, Gaussian):
            raise BadInput(
                "`model` is not seen through a Gaussian channel; only there is a "
                "probability flow."
            )
        if self.step.draws:
            raise BadInput(
                f"`step` is {type(self.step).__name__}, which draws noise; a flow "
                f"takes a deterministic one such as DPMSolverPP()."
            )
        if self.num_steps < 1:
            raise BadInput(f"`num_steps` is {self.num_steps}; take at least 1.")

    @property
    def has_exact_labels(self) -> bool:
        """No: the flow has ends, not posteriors."""
        return False

    @property
    def process(self) -> AbstractProcess:
        """The clock."""
        assert isinstance(self.model.channel, Gaussian)
        return self.model.channel.process

    def start(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """A clean point of the model."""
        return self.model.start(key)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-weights of the model."""
        return self.model.log_label_prior()

    def observe(self, key: Key, x0: Point, noise: ScalarLike) -> Point:
        """The model's channel."""
        return self.model.observe(key, x0, noise)

    def resample(self, key: Key, observation: Point, noise: ScalarLike) -> Point:
        """The end of the flow from the observation; no noise, so no key."""
        first = self.process.log_snr(jnp.asarray(noise, observation.dtype))
        last = jnp.maximum(first + LEAST, CLEAN)
        times = self.process.time(jnp.linspace(first, last, self.num_steps + 1))
        score = ExactScore(self.model.law, self.process)
        return sample(self.step, score, observation, times, key)

    def label_probabilities(self, x0: Point) -> Float[Array, " c"]:
        """One for the label of largest posterior."""
        soft = self.model.label_probabilities(x0)
        return jax.nn.one_hot(jnp.argmax(soft), soft.size, dtype=soft.dtype)

    def label_log_posterior(
        self, observation: Point, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log of the label in which the flow ends."""
        end = self.resample(jr.key(0), observation, noise)
        return jnp.log(self.label_probabilities(end))

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """The channel's coordinate."""
        return self.model.coordinate(noise)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Noise at a coordinate."""
        return self.model.noise_at(coordinate)

    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A draw's label and that of the flow's end at every noise, in logs."""
        start_key, noise_key = jr.split(key)
        x0, label = self.start(start_key)
        at = lambda t: self.label_log_posterior(self.observe(noise_key, x0, t), t)
        return label, jax.lax.map(at, noises)


class FlowSurvival(eqx.Module):
    """Survival of groups by the reverse SDE and by the probability flow of one model.

    Noised points have one law; the ways back from them differ. The SDE draws from the
    posterior, the flow maps each point to one end, with the likeliest label there: it
    is not in detailed balance, and groups have other windows.
    """

    sde: GroupCurves
    flow: GroupCurves
    names: tuple[str, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    difference: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability", "flow less SDE"
    )
    difference_stderr: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability"
    )

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, times as `{value, stderr, low, high, found}`."""
        return to_json(self)


def flow_survival(
    data: Observed,
    noises: AnyArray,
    groups: Groups | None = None,
    model: Observed | None = None,
    *,
    step: AbstractStep | None = None,
    num_steps: int = 64,
    method: str | None = None,
    **options: Any,
) -> FlowSurvival:
    """Compare the two ways back of one model: reverse SDE and probability flow.

    On a line the flow is the monotone map of quantiles (exact, for a mixture that
    reduces to one dimension and a model of the same components); else it is simulated
    on the exact score. Both ways share the noised points.

    Args:
        data: Labelled data seen through a Gaussian channel.
        noises: At least 4 noises > 0, increasing.
        groups: As in `group_survival`.
        model: Another law on the same channel; the data's own if None.
        step: A deterministic step; `DPMSolverPP()` if left out.
        num_steps: Steps from each noise to the clean end.
        method: "quadrature" or "sampled"; the first where it is possible.
        options: As in `group_survival`.

    Raises:
        BadInput: As `group_survival`; a model without a law on a Gaussian channel, a
            stochastic step, a noise of zero.

    References:
        Derived; arXiv:2011.13456, section 4.3 (the flow).
    """
    back = data if model is None else model
    if not isinstance(data, Observed) or not isinstance(back, Observed):
        raise BadInput(
            "`data` and `model` must be laws seen through a channel, `Observed(law, "
            "Gaussian())`: a flow needs a score."
        )
    levels, parts = checked(data, noises, groups, model)
    way = ProbabilityFlow(back, DPMSolverPP() if step is None else step, num_steps)
    if not np.all(np.asarray(back.coordinate(jnp.asarray(levels))) > -np.inf):
        raise BadInput("`noises` begins without noise; a flow begins above it.")
    line = None if method == "sampled" else flow_on_a_line(data, back)
    if line is not None:
        table = line.tables(parts, levels)
        by_flow = Curves(table, np.full_like(table, 1e-10), None, None)
    else:
        line, method = None, "sampled" if method is None else method
        by_flow = cross(data, way, parts, levels, method=method, **options).model
    by_sde = cross(data, model, parts, levels, method=method, **options)
    own = parts.weights_of(back.log_label_prior())
    reader = Reader(data, levels, parts, by_sde.model, by_sde.line, False)
    difference = by_flow.minus(by_sde.model)
    g = parts.num_groups
    return FlowSurvival(
        sde=group_curves(reader, own),
        flow=group_curves(reader._replace(curves=by_flow, line=line), own),
        names=parts.names,
        count=by_sde.replicas,
        method=_method(way, line),
        noise=levels,
        difference=difference.mean[:, :g],
        difference_stderr=difference.stderr[:, :g],
    )


def _method(way: ProbabilityFlow, line: FlowLine | None) -> str:
    if line is not None:
        return "monotone map of quantiles on the line"
    return f"{type(way.step).__name__}, {way.num_steps} steps, likeliest label"
