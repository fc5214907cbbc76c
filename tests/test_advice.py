"""Advice: rules, schedules for samplers, and whether it keeps what it promises."""

import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin._checks import BadInput
from jaxwin.analysis import late_start
from jaxwin.analysis._crossing import exact
from jaxwin.analysis.clocks import TimeGrid
from jaxwin.analysis.information import ClassInformation, class_information
from jaxwin.io import to_dataset, to_json
from jaxwin.metrics import energy_distance
from jaxwin.processes import DiscreteDDPM, OrnsteinUhlenbeck, convert
from jaxwin.report._advice import Advice, advise
from jaxwin.report._schedules import DDIM_LOOP, _moment, schedule
from jaxwin.samplers import DDIM, sample
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
TIMES = np.geomspace(0.005, 4, 40)
EIGENVALUES = np.array([9.0, 1.0, 0.04])


def information_of(told, times=TIMES):
    """A class information that is known: `told` times log 2 at each time."""
    loss = np.log(2) * (1 - np.asarray(told))
    coordinate = -np.asarray(OU.log_snr(jnp.asarray(times)))
    return class_information(
        np.stack([loss] * 4),
        np.ones(4),
        coordinate,
        times,
        np.log([0.5, 0.5]),
        lambda u: OU.time(-u),
    )


TOLD = 1 / (1 + (TIMES / 0.8) ** 6)


def start_of(crossing, always=False):
    some = np.zeros(TIMES.size)
    return late_start.LateStart(
        start=crossing,
        always=always,
        level=0.01,
        count=100,
        method="",
        noise=TIMES,
        misplaced=some,
        stderr=some,
        floor=some,
        weight=np.zeros((TIMES.size, 2)),
    )


NOWHERE = exact(0.0, False)


@pytest.fixture(scope="module")
def advice():
    return advise(
        TIMES,
        EIGENVALUES,
        information=information_of(TOLD),
        late_start=start_of(exact(0.7)),
    )


# Rules


def test_advice_takes_over_what_was_measured(advice):
    assert float(advice.late_start.time) == 0.7
    # (t / 0.8)^6 is 1 / 19 and 19.
    expected = 0.8 * 19 ** np.array([-1 / 6, 1 / 6])
    low, high = advice.guidance_low.time, advice.guidance_high.time
    np.testing.assert_allclose([low, high], expected, rtol=5e-3)
    assert advice.grid.log_snr.size == 20
    np.testing.assert_allclose(advice.grid.noise[0], TIMES[-1])
    assert "at most 1 %" in advice.late_start_rule
    assert "95 %" in advice.guidance_rule
    assert "20 evaluations" in advice.grid_rule
    assert "class information" in advice.grid_rule


def test_advice_without_classes_is_a_grid():
    found = advise(TIMES, EIGENVALUES, num_steps=7)
    assert found.late_start is None
    assert found.guidance_low is None
    assert found.grid.log_snr.size == 7
    assert "No classes" in found.late_start_rule
    assert "No classes" in found.guidance_rule
    assert "class" not in found.grid_rule
    assert schedule(found)["guidance_interval"] == {"low": None, "high": None}


def test_rules_tell_always_from_never():
    always = advise(TIMES, EIGENVALUES, late_start=start_of(NOWHERE, True))
    never = advise(TIMES, EIGENVALUES, late_start=start_of(NOWHERE))
    assert "no limit" in always.late_start_rule
    assert "No late start" in never.late_start_rule
    assert schedule(never)["late_start"] is None


def test_classes_that_nothing_tells_do_not_bend_the_grid():
    found = advise(TIMES, EIGENVALUES, information=information_of(0 * TIMES))
    assert "no interval" in found.guidance_rule
    plain = advise(TIMES, EIGENVALUES)
    np.testing.assert_array_equal(found.grid.log_snr, plain.grid.log_snr)


def test_advice_is_written(advice):
    assert to_dataset(advice)["grid.log_snr"].dims == ("step",)
    assert to_json(advice)["late_start"]["value"] == 0.7


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="at least 2"):
        advise(TIMES, EIGENVALUES, num_steps=1)
    with pytest.raises(ValueError, match="other times"):
        advise(TIMES, EIGENVALUES, information=information_of(TOLD, TIMES * 1.01))


# Schedules


def abar_by_hand(name):
    """The tables as products of 1 - beta."""
    if name == "linear":
        beta = np.linspace(1e-4, 0.02, 1000)
    elif name == "scaled_linear":
        beta = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    else:
        f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        beta = np.minimum(1 - f[1:] / f[:-1], 0.999)
    return np.cumprod(1 - beta)


TABLES = "linear", "scaled_linear", "cosine"


@pytest.mark.parametrize("name", TABLES)
def test_timesteps_are_the_nearest_in_log_snr(advice, name):
    found = schedule(advice)["grid"]
    steps = found["ddpm_timesteps"][name]["timesteps"]
    assert all(type(step) is int for step in steps)
    assert all(0 <= b < a <= 999 for a, b in zip(steps, steps[1:], strict=False))
    abar = abar_by_hand(name)
    levels = np.log(abar / (1 - abar))
    expected = [int(np.argmin(np.abs(levels - level))) for level in found["log_snr"]]
    assert steps == sorted(set(expected), reverse=True)
    outside = min(found["log_snr"]) < levels[-1] - 0.02
    assert found["ddpm_timesteps"][name]["clipped"] == outside


def test_other_clocks_have_the_same_log_snr(advice):
    found = schedule(advice)
    for entry in (found["grid"], found["late_start"]):
        log_snr = np.array(entry["log_snr"])
        sigma, u = np.array(entry["edm_sigma"]), np.array(entry["flow_u"])
        alpha_sq = np.exp(-2 * np.array(entry["ou_time"]))
        np.testing.assert_allclose(-2 * np.log(sigma), log_snr, atol=1e-12)
        np.testing.assert_allclose(2 * np.log((1 - u) / u), log_snr, atol=1e-10)
        np.testing.assert_allclose(
            np.log(alpha_sq / (1 - alpha_sq)), log_snr, atol=1e-6
        )
    step = found["late_start"]["ddpm_timestep"]["linear"]["timestep"]
    abar = abar_by_hand("linear")
    assert (
        abs(np.log(abar[step] / (1 - abar[step])) - found["late_start"]["log_snr"])
        < 0.01
    )


def grid_advice(log_snr):
    log_snr = np.asarray(log_snr, float)
    grid = TimeGrid(log_snr=log_snr, noise=np.log1p(np.exp(-log_snr)) / 2)
    return Advice(None, None, None, grid, "", "", "")


def test_noises_beyond_a_table_stand_at_its_ends():
    found = schedule(grid_advice([-30.0, -20.0, 0.0, 20.0, 30.0]))
    for name in TABLES:
        entry = found["grid"]["ddpm_timesteps"][name]
        assert entry["clipped"] is True
        assert (entry["timesteps"][0], entry["timesteps"][-1]) == (999, 0)
        assert len(entry["timesteps"]) == 3
    inside = schedule(grid_advice([-2.0, 0.0, 2.0]))
    assert not any(inside["grid"]["ddpm_timesteps"][name]["clipped"] for name in TABLES)
    assert not any(entry["clipped"] for entry in inside["diffusers"])


def test_schedule_is_plain_json(advice):
    found = schedule(advice)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {
        *("late_start", "guidance_interval", "grid", "rules"),
        *("diffusers", "ddim_loop"),
    }


# The loop for DDIM


def ddim_loop():
    space = {}
    exec(DDIM_LOOP, space)
    return space["ddim"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_ddim_loop_is_our_ddim(advice, name):
    loop = schedule(advice)["ddim_loop"][name]
    abar = abar_by_hand(name)
    np.testing.assert_allclose(loop["alphas_cumprod"], abar[loop["timesteps"]])
    assert loop["previous_timesteps"] == [*loop["timesteps"][1:], -1]
    before = np.append(abar[loop["timesteps"][1:]], 1.0)
    np.testing.assert_allclose(loop["previous_alphas_cumprod"], before)
    law = GaussianMixture.isotropic([[2.0, 0.0], [-1.0, 1.0]], [0.1, 0.3], [0.7, 0.3])
    table = DiscreteDDPM(1000, name)
    score = ExactScore(law, table)

    def model(x, t):
        return -np.asarray(table.sigma(t) * score(jnp.asarray(x), float(t)))

    start = np.array([0.3, -1.2])
    found = ddim_loop()(model, start, loop)
    times = jnp.array([*loop["timesteps"], -1], float)
    expected = sample(DDIM(), score, jnp.asarray(start), times, jr.key(0), 0)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_ddim_loop_needs_numpy_alone():
    # Gaussian data of width c: a move multiplies, by hand.
    c, abar, before = 2.0, [0.1, 0.5, 0.9], [0.5, 0.9, 1.0]
    loop = {"timesteps": [9, 5, 1], "alphas_cumprod": abar}
    loop["previous_alphas_cumprod"] = before
    level = dict(zip(loop["timesteps"], abar, strict=True))
    width_sq = lambda a: a * c**2 + 1 - a
    model = lambda x, t: (1 - level[t]) ** 0.5 * x / width_sq(level[t])
    found = ddim_loop()(model, np.ones(3), loop)
    factor = 1.0
    for a, b in zip(abar, before, strict=True):
        clean = a**0.5 * c**2 / width_sq(a)
        factor *= b**0.5 * clean + ((1 - b) * (1 - a)) ** 0.5 / width_sq(a)
    np.testing.assert_allclose(found, factor * np.ones(3), rtol=1e-13)


# diffusers itself


# Within all three tables.
LOG_SNR = np.linspace(-5.2, 6.9, 40)


def diffusers_entries():
    return [
        pytest.param(entry, id=f"{entry['scheduler']}-{entry['table']}")
        for entry in schedule(grid_advice(LOG_SNR))["diffusers"]
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", diffusers_entries())
def test_diffusers_takes_the_list_and_samples_the_law(entry):
    """Gaussian data of width 0.6: the exact model must bring back that width."""
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    assert entry["clipped"] is False
    # Clipping is for pixels, and on by default where there is one.
    unclipped = {"clip_sample": False} if entry["scheduler"].startswith("DDPM") else {}
    scheduler = getattr(diffusers, entry["scheduler"])(**entry["config"], **unclipped)
    values = entry["values"]
    if entry["tensor"]:
        values = torch.tensor(values, dtype=torch.float64)
    scheduler.set_timesteps(**{entry["argument"]: values})
    abar = np.ones(1)
    if entry["table"]:
        visited = list(dict.fromkeys(int(t) for t in scheduler.timesteps))
        assert visited == entry["values"]
        abar = abar_by_hand(entry["table"])[visited]
    if hasattr(scheduler, "sigmas"):
        seen = np.unique(np.asarray(scheduler.sigmas, float))[::-1]
        seen = seen[seen > 0]
        if entry["scheduler"].startswith("Flow"):
            expected = 1 / (1 + np.exp(LOG_SNR / 2))
        elif entry["table"]:
            expected = ((1 - abar) / abar) ** 0.5
        else:
            expected = np.exp(-LOG_SNR / 2)
        np.testing.assert_allclose(seen, expected, rtol=2e-3)
    width = sampled_width(scheduler, entry, torch)
    assert abs(width / 0.6 - 1) < 0.1


def sampled_width(scheduler, entry, torch, c=0.6, num=20_000):
    """Width of what a run with the exact model ends in."""
    torch.manual_seed(0)
    x = torch.randn(num, 1, dtype=torch.float64)
    output = {"Flow": flow_output, "EDME": edm_output}.get(
        entry["scheduler"][:4], noise_output
    )
    if entry["scheduler"].startswith("Flow"):
        u = float(scheduler.sigmas[0])
        x = x * (((1 - u) * c) ** 2 + u**2) ** 0.5
    else:
        x = x * float(scheduler.init_noise_sigma)
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(output(scheduler, x, i, t, c), t, x).prev_sample
    return float(x.std())


def noise_output(scheduler, x, i, t, c):
    """E[noise | x], of what the model is shown."""
    shown = scheduler.scale_model_input(x, t)
    abar = float(scheduler.alphas_cumprod[int(t)])
    return (1 - abar) ** 0.5 / (abar * c**2 + 1 - abar) * shown


def flow_output(scheduler, x, i, t, c):
    """E[z - x0 | x]."""
    u = float(scheduler.sigmas[i])
    return (u - (1 - u) * c**2) / (((1 - u) * c) ** 2 + u**2) * x


def edm_output(scheduler, x, i, t, c):
    """What a preconditioned network returns for E[x0 | x]."""
    scheduler.scale_model_input(x, t)  # without it, `step` complains
    sigma, data = float(scheduler.sigmas[i]), scheduler.config.sigma_data
    clean = c**2 / (c**2 + sigma**2) * x
    both = sigma**2 + data**2
    return (clean - data**2 / both * x) / (sigma * data / both**0.5)


# Promises, in short; benchmarks/advice.py in full


def uneven_mixture():
    generator = np.random.default_rng(0)
    means = generator.normal(size=(5, 16))
    return GaussianMixture.isotropic(means, [0.09] * 5, [0.4, 0.3, 0.15, 0.1, 0.05])


@pytest.fixture(scope="module")
def law():
    return uneven_mixture()


@pytest.mark.slow
@pytest.mark.long
def test_late_start_keeps_its_promise(law):
    times = np.linspace(0.1, 3, 24)
    found = late_start.misplaced(law, times, num_replicas=8192, level=0.01)
    assert bool(found.start.found)
    t, num = float(found.start.high), 40_000
    start, (alpha, sigma) = late_start.start_law(law, t), OU.levels(t)

    def label(key):
        """A draw of the start, continued exactly to the clean end."""
        first, second = jr.split(key)
        clean = law.posterior_sample(second, start(first), alpha, sigma)
        return jnp.argmax(law.label_log_posterior(clean, 1.0, 0.0))

    labels = jax.jit(jax.vmap(label))(jr.split(jr.key(11), num))
    given = np.bincount(np.asarray(labels), minlength=5) / num
    weights = np.exp(np.asarray(law.log_label_prior()))
    lost = np.abs(given - weights).sum() / 2
    # On average noise adds so much.
    noise = np.sqrt(weights * (1 - weights) / num).sum() / np.sqrt(2 * np.pi)
    assert lost < 0.01 + noise
    # And it is not kept for want of misplaced weight: earlier starts break it.
    assert found.misplaced[0] > 0.02


@pytest.mark.slow
@pytest.mark.long
def test_advised_grid_beats_fixed_ones_at_ten_steps(law):
    times = np.geomspace(0.002, 3.5, 48)
    coordinate = -np.asarray(OU.log_snr(jnp.asarray(times)))
    key = jr.key(5)
    levels = OU.levels(jnp.asarray(times))
    drawn = jax.jit(jax.vmap(lambda k: law.soft_labels(k, *levels)))
    label, log_posterior = drawn(jr.split(key, 2048))
    loss = -np.asarray(log_posterior)[np.arange(2048), :, np.asarray(label)]
    information = class_information(
        loss.reshape(32, 64, -1).mean(axis=1),
        np.full(32, 64),
        coordinate,
        times,
        law.log_label_prior(),
        lambda u: OU.time(-u),
    )
    assert isinstance(information, ClassInformation)
    eigenvalues, _ = law.moments().leading(16)
    advised = advise(
        times, np.asarray(eigenvalues), information=information, num_steps=10
    ).grid.log_snr
    noise, clean = advised[0], advised[-1]
    root = np.linspace(np.exp(-noise / 14), np.exp(-clean / 14), 10)
    grids = {
        "advised": advised,
        "log-SNR": np.linspace(noise, clean, 10),
        "edm": -14 * np.log(root),
    }
    start, num = late_start.start_law(law, times[-1]), 4096
    score, keys = ExactScore(law, OU), jr.split(jr.key(6), num)
    exact_draws = jax.vmap(law.sample)(jr.split(jr.key(7), num))
    weights = np.exp(np.asarray(law.log_label_prior()))

    @jax.jit
    def end(times):
        run = lambda k: sample(DDIM(), score, start(k), times, jr.key(0), 0)
        points = jax.vmap(run)(keys)
        return points, jax.vmap(lambda x: law.label_log_posterior(x, 1.0, 0.05))(points)

    lost, distance = {}, {}
    for name, log_snr in grids.items():
        points, labels = end(jnp.append(np.log1p(np.exp(-log_snr)) / 2, 0.0))
        given = np.exp(np.asarray(labels)).mean(axis=0)
        lost[name] = np.abs(given - weights).sum() / 2
        distance[name] = float(energy_distance(points, exact_draws).value)
    for name in ("log-SNR", "edm"):
        assert lost["advised"] < 0.95 * lost[name], lost
        assert distance["advised"] < 0.95 * distance[name], distance


@pytest.mark.parametrize("time", [0.05, 0.5, 1.234, 2.5])
def test_late_start_is_at_no_less_noise_on_every_table(time):
    """Timesteps round towards noise: rounded down, the promise would not be kept."""
    start = exact(time)
    for name in TABLES:
        table = DiscreteDDPM(1000, name)
        found = _moment(start, {name: table}, at_least=True)
        assert found is not None
        step = found["ddpm_timestep"][name]["timestep"]
        level = float(convert(float(step), table, OU)[0])
        assert level >= time - 1e-9
        if step:
            assert float(convert(float(step) - 1, table, OU)[0]) < time
