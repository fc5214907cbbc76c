"""Windows of the theorem's worked examples, with exact numbers beside the printed."""

import equinox as eqx
import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float, Int

from jaxwin._checks import BadInput, check, positive
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.windows._theorem import tolerance
from jaxwin.io import field

# Flips that are tried before the answer is that there are not enough.
MOST_FLIPS = 2**40


def coins_total_variation(flips: int, bias: float) -> float:
    """TV(Bin(n, 1/2 + Delta), Bin(n, 1/2 - Delta)): two biased coins after n flips.

    Heads favour the first coin, so that

        TV = P(heads < n/2) - P(heads > n/2),  heads ~ Bin(n, 1/2 - Delta).

    Args:
        flips: n >= 0.
        bias: Delta, in (0, 1/2).

    Raises:
        ValueError: A bias or a number of flips that is none.
    """
    _check_coins(flips, bias)
    few = scipy.stats.binom.cdf((flips - 1) // 2, flips, 0.5 - bias)
    many = scipy.stats.binom.sf(flips // 2, flips, 0.5 - bias)
    return float(few - many) if flips else 0.0


def coins_flip(flips: int, bias: float) -> float:
    """Probability that a walk resumed after n flips goes on with the other coin.

        E[1 / (1 + ((1/2 + Delta) / (1/2 - Delta))^(2 heads - n))], both equally likely.

    Args:
        flips: n >= 0 that are kept.
        bias: Delta, in (0, 1/2).

    Raises:
        ValueError: A bias or a number of flips that is none.
    """
    _check_coins(flips, bias)
    heads = np.arange(flips + 1)
    odds = np.log(0.5 + bias) - np.log(0.5 - bias)
    own = scipy.stats.binom.pmf(heads, flips, 0.5 + bias)
    return float(own @ scipy.special.expit(-odds * (2 * heads - flips)))


class CoinsWindow(eqx.Module):
    """Window of two biased coins, in flips that are kept (T is none taken off).

    `after` is how many flips suffice to tell the coins apart and `before` how few leave
    them alike, as printed; `told` is the smallest number with TV >= 1 - eps^2 and
    `alike` the largest at which one coin and both have TV <= eps (a pair's is twice as
    much), both exact. `holds` says whether the source's conditions are met.
    """

    after: Float[np.ndarray, ""] = field((), "flips", "ln(2 / eps^2) / (2 Delta^2)")
    before: Float[np.ndarray, ""] = field((), "flips", "eps^2 / Delta^2 - 2")
    told: Int[np.ndarray, ""] = field((), "flips", "smallest with TV >= 1 - eps^2")
    alike: Int[np.ndarray, ""] = field((), "flips", "largest with TV <= eps")
    holds: Bool[np.ndarray, ""] = field((), "", "the source's conditions")


def coins_window(bias: float, epsilon: float, barrier: float = np.inf) -> CoinsWindow:
    """The window of a random walk with one of two biases, Example 5.

        T - T_after = ln(2 / eps^2) / (2 Delta^2),  T - T_before = eps^2 / Delta^2 - 2,

    under ln(2 / eps^2) / (2 Delta^2) < A and eps^2 < 1e-3 (1/4 - Delta^2). At
    n = floor(eps^2 / Delta^2) - 2 the pair's TV is at most 1.6 eps, its limit for a
    small bias being erf(sqrt(2) eps): one coin is within 0.8 eps of both.

    Args:
        bias: Delta, in (0, 1/2).
        epsilon: Tolerance, in (0, 1).
        barrier: A of the source's condition.

    Raises:
        BadInput: `epsilon` outside (0, 1), or a bias so small that coins are not told
            apart within 2^40 flips.
        ValueError: A bias that is none.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Example 5; exact numbers derived.
    """
    tolerance(epsilon)
    _check_coins(0, bias)
    after = np.log(2 / epsilon**2) / (2 * bias**2)
    before = epsilon**2 / bias**2 - 2
    holds = after < barrier and epsilon**2 < 1e-3 * (0.25 - bias**2)
    told = _first(lambda n: coins_total_variation(n, bias) >= 1 - epsilon**2, bias)
    # TV(one coin, both) never exceeds 1/2.
    alike = MOST_FLIPS
    if epsilon < 0.5:
        alike = _first(lambda n: coins_total_variation(n, bias) > 2 * epsilon, bias) - 1
    return CoinsWindow(*map(np.asarray, (after, before, told, alike, holds)))


def in_context_count(hellinger_squared: float, epsilon: float) -> float:
    """Examples after which one task's overlap with another is at most eps.

        T = ln(1 / eps) / (-ln(1 - delta / 2)),   overlap <= (1 - delta / 2)^T,

    delta the squared Hellinger distance of one example under the two tasks. The printed
    count has one logarithm less.

    Args:
        hellinger_squared: delta, in (0, 2].
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: delta outside (0, 2].

    References:
        Li, Karan & Chen, arXiv:2502.00921, Examples 6 and 11, corrected.
    """
    tolerance(epsilon)
    test = lambda delta: (delta > 0) & (delta <= 2)
    check(hellinger_squared, test, "hellinger_squared", "in (0, 2]: 2 (1 - BC)")
    with np.errstate(divide="ignore"):
        return float(np.log(epsilon) / np.log1p(-hellinger_squared / 2))


def all_or_nothing_count(sparsity: int, size: int, noise_variance: float) -> float:
    """Samples at which sparse regression turns from nothing to all.

        N* = 2 k ln(s / k) / ln(1 + k / sigma^2).

    Args:
        sparsity: k nonzero entries, >= 1.
        size: s entries, > k.
        noise_variance: sigma^2 > 0.

    Raises:
        ValueError: Sizes out of order, or a variance that is not positive.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 6.
    """
    check(sparsity, positive, "sparsity", "1 or more")
    check(size, lambda s: s > sparsity, "size", f"more than the sparsity {sparsity}")
    check(noise_variance, positive, "noise_variance", "finite and > 0")
    rate = np.log1p(sparsity / noise_variance)
    return float(2 * sparsity * np.log(size / sparsity) / rate)


class ConceptWindow(eqx.Module):
    """Window of the Gaussian concept process, as printed, in its OU time.

    `after` is of the leak type: the words' Bhattacharyya coefficient is sqrt(2) eps
    there (phi = eps^2), not the TV >= 1 - eps^2 of Definition 4.
    """

    after: Crossing = field((), "OU time")
    before: Crossing = field((), "OU time")


def concept_overlap(signal: float, cosine: float) -> float:
    """Bhattacharyya coefficient sqrt(2 phi(x)) of the words of two concepts.

        phi(x) = (2 + x) / ((2 + x (1 + c) / 2) (2 + x (1 - c) / 2)):

    words are N(0, 2 I + x theta theta^T), x = alpha e^{-2t}, so that it is one at
    x = 0. The source gives phi up to a constant.

    Args:
        signal: x >= 0.
        cosine: c = <u, v> of the unit vectors, in (-1, 1).

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 9; the constant derived.
    """
    check(signal, lambda x: (x >= 0) & (x < np.inf), "signal", "finite and >= 0")
    _check_cosine(cosine)
    wide = (2 + signal * (1 + cosine) / 2) * (2 + signal * (1 - cosine) / 2)
    return float(np.sqrt(2 * (2 + signal) / wide))


def concept_window(strength: float, cosine: float, epsilon: float) -> ConceptWindow:
    """Window of a concept C_0 ~ N(0, I + alpha theta theta^T), theta one of u, v.

        T_after = ln(alpha / phi^{-1}(eps^2)) / 2,
        T_before = ln(alpha sqrt(1 + alpha^2) sqrt(1 - c^2) / eps) / 2.

    Args:
        strength: alpha > 0.
        cosine: c = <u, v>, in (-1, 1).
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: alpha not positive, or c outside (-1, 1).

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 9.
    """
    tolerance(epsilon)
    check(strength, positive, "strength", "finite and > 0")
    _check_cosine(cosine)
    part = np.sqrt((1 - cosine) * (1 + cosine))
    before = 0.5 * np.log(strength * np.hypot(1, strength) * part / epsilon)
    # q k x^2 - (1 - 2 q) (x + 2) = 0, of which phi = q; phi never exceeds 1/2.
    level, k = epsilon**2, part**2 / 4
    rest = 1 - 2 * level
    if rest <= 0:
        return ConceptWindow(exact(0.0, False), exact(max(before, 0.0)))
    signal = (rest + np.sqrt(rest**2 + 8 * level * k * rest)) / (2 * level * k)
    after = 0.5 * np.log(strength / signal)
    return ConceptWindow(exact(after, bool(after >= 0)), exact(max(before, 0.0)))


class MaskingWindow(eqx.Module):
    """Window of two words at Hamming distance h under masking, in masked fraction.

    TV = 1 - t^h, a U-turn flips with probability t^h / 2. `before_pair` is the printed
    T_before, where the pair has TV eps; `before` that of Definition 4 with both words
    as the larger set, whose TV is half as much (not found for eps >= 1/2, where it is
    below eps at once). `half` is where one in four flips.
    """

    after: Crossing = field((), "masked fraction")
    before: Crossing = field((), "masked fraction")
    before_pair: Crossing = field((), "masked fraction")
    half: Crossing = field((), "masked fraction")


def masking_window(distance: int, epsilon: float) -> MaskingWindow:
    """The window of two equally likely words that differ on h sites.

        after = eps^{2/h},  before = (1 - 2 eps)^{1/h},  before_pair = (1 - eps)^{1/h},

    and h (before_pair - after) -> ln(1 - eps) - 2 ln eps.

    Args:
        distance: h >= 1.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: h < 1.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Example 3; `before` derived.
    """
    tolerance(epsilon)
    check(distance, lambda h: (h >= 1) & (h < np.inf), "distance", "1 or more sites")
    root = lambda log: float(np.exp(log / distance))
    half = epsilon < 0.5
    return MaskingWindow(
        after=exact(root(2 * np.log(epsilon))),
        before=exact(root(np.log1p(-2 * epsilon)) if half else 0.0, half),
        before_pair=exact(root(np.log1p(-epsilon))),
        half=exact(root(-np.log(2))),
    )


def masking_total_variation(distance: int, fraction: float) -> float:
    """TV = 1 - t^h of two words that differ on h sites, each masked with probability t.

    Of a U-turn of one word, the law is t^h / 2 away from that word, and
    (1 - t^h) / 2 from both.
    """
    check(distance, lambda h: h >= 1, "distance", "1 or more sites")
    check(fraction, lambda t: (t >= 0) & (t <= 1), "fraction", "in [0, 1]")
    with np.errstate(divide="ignore"):
        return float(-np.expm1(distance * np.log(fraction)))


def _first(test, bias: float) -> int:
    """The smallest number of flips that passes a test which holds from there on."""
    high = 1
    while not test(high):
        high *= 2
        if high > MOST_FLIPS:
            raise BadInput(
                f"`bias` is {bias:g}; it must be larger: coins this much alike are not "
                f"told apart within {MOST_FLIPS} flips."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle) else (middle, high)
    return high


def _check_coins(flips: int, bias: float) -> None:
    check(flips, lambda n: (n >= 0) & (n <= MOST_FLIPS), "flips", "0 or more")
    check(bias, lambda b: (b > 0) & (b < 0.5), "bias", "strictly between 0 and 1/2")


def _check_cosine(cosine: float) -> None:
    check(cosine, lambda c: abs(c) < 1, "cosine", "strictly between -1 and 1")
