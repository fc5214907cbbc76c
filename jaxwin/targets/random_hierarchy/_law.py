"""The Random Hierarchy Model: words grown from a root by random production rules."""

import operator
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.targets._base import Moments
from jaxwin.targets._discrete import AbstractDiscreteLaw, moments_of_values
from jaxwin.targets._labels import only_classes
from jaxwin.targets._mixture_arguments import checked_weights
from jaxwin.targets.random_hierarchy import _passes
from jaxwin.targets.random_hierarchy._beliefs import Beliefs, Messages
from jaxwin.targets.random_hierarchy._rules import (
    checked_rule_weights,
    checked_rules,
    draw_rules,
)

Latents = Mapping[int, Float[Array, "_ _"]]
Tree = tuple[Int[Array, " _"], ...]


class RandomHierarchy(AbstractDiscreteLaw):
    r"""Trees of depth L whose nodes turn into s-tuples of symbols; leaves are the word.

    The root, level 0, has one of n symbols, the label. A node of symbol y at level l
    picks rule r with probability pi_{y,r}, and its s children are the tuple R_l[y, r].
    Unless `ambiguous`, no tuple of a level has two parents: a word has one tree.

    Belief propagation is exact, since a tree has no loops and a rule is one factor:

        up:    u_l(y) ~ sum_r pi_{y,r} prod_i u_{l+1,i}(R_l[y, r, i]),
        down:  P(child i = c) = sum_{y,r} P(y) P(r | y, below) 1[R_l[y, r, i] = c],

    in log space, for any strength of evidence: O(v m s) work a node each way and about
    v m s^L numbers of memory. All methods take one word; `upward`, `marginals_of` and
    `draw_given` are the batched door, symbol first and batch last.

    Args:
        rules: One table (k_l, m_l, s) a level, root first: symbols of the s children,
            by the parent's symbol and the rule; k_0 = n, entries of table l are below
            k_{l+1}.
        weights: (n,) probabilities of the root's symbols; equal if left out.
        rule_weights: (m,) or (k_l, m_l) weights of rules, for all levels, or a list
            with one entry a level; equal if left out.
        num_symbols: Symbols of the leaves; as many as of their parents if left out.
        ambiguous: Allow tuples with several parents.

    Raises:
        ValueError: Tables that do not fit each other, symbols out of range, a tuple
            with two parents, weights that do not fit.

    References:
        arXiv:2402.16991 (Random Hierarchy Model: arXiv:2307.02129).
    """

    rules: tuple[Int[Array, "_ _ s"], ...]
    log_rule_weights: tuple[Float[Array, "_ _"], ...]
    log_weights: Float[Array, " c"]
    symbol_count: int = eqx.field(static=True)

    def __init__(
        self,
        rules: Sequence[AnyArray],
        weights: AnyArray | None = None,
        *,
        rule_weights: AnyArray | tuple[AnyArray, ...] | None = None,
        num_symbols: int | None = None,
        ambiguous: bool = False,
    ):
        self.rules, self.symbol_count = checked_rules(
            tuple(rules), num_symbols, ambiguous
        )
        self.log_rule_weights = checked_rule_weights(self.rules, rule_weights)
        roots = jnp.zeros((len(self.rules[0]), 1))
        self.log_weights = checked_weights(roots, weights)

    @classmethod
    def draw(
        cls,
        key: Key,
        num_symbols: int,
        num_rules: int | tuple[int, ...],
        branching: int,
        depth: int,
        *,
        num_classes: int | None = None,
        weights: AnyArray | None = None,
        rule_weights: AnyArray | tuple[AnyArray, ...] | None = None,
        ambiguous: bool = False,
    ) -> "RandomHierarchy":
        """A law with random rules; `jax.vmap` over keys makes many.

        Args:
            key: Key of the rules.
            num_symbols: Symbols v of every level below the root.
            num_rules: Rules m of each symbol, or one number a level, root first.
            branching: Children s of a node.
            depth: Levels L of rules; words have s^L symbols.
            num_classes: Symbols n of the root; v if left out.
            weights: As above, and so the next.
            rule_weights: See the class.
            ambiguous: Draw tuples independently, so that several parents may share one.

        Raises:
            ValueError: More rules than tuples, m > v^(s - 1) if n = v; sizes below 1.
        """
        sizes = dict(num_symbols=num_symbols, branching=branching, depth=depth)
        several = isinstance(num_rules, (tuple, list))
        given = num_rules if several else (num_rules,) * depth
        per_level = tuple(map(operator.index, given))
        classes = num_symbols if num_classes is None else num_classes
        for name, size in [*sizes.items(), ("num_classes", classes)]:
            if size < 1:
                raise ValueError(f"`{name}` is {size}; it must be at least 1.")
        if len(per_level) != depth or min(per_level) < 1:
            raise ValueError(
                f"`num_rules` is {num_rules}; give a number >= 1, or {depth} of them, "
                f"one a level."
            )
        parents = (classes,) + (num_symbols,) * (depth - 1)
        keys = jr.split(key, depth)
        rules = [
            draw_rules(keys[level], k, m, branching, num_symbols, ambiguous)
            for level, (k, m) in enumerate(zip(parents, per_level, strict=True))
        ]
        return cls(
            rules,
            weights,
            rule_weights=rule_weights,
            num_symbols=num_symbols,
            # Distinct by construction, when they were to be.
            ambiguous=True,
        )

    @property
    def depth(self) -> int:
        """Levels L of rules; the root is level 0, leaves are level L."""
        return len(self.rules)

    @property
    def branching(self) -> int:
        """Children s of a node."""
        return self.rules[0].shape[2]

    @property
    def num_sites(self) -> int:
        """Leaves s^L."""
        return self.branching**self.depth

    @property
    def num_symbols(self) -> int:
        """Symbols v of a leaf."""
        return self.symbol_count

    @property
    def symbols_of_levels(self) -> tuple[int, ...]:
        """Number of symbols k_l of every level, root first."""
        return (*(len(table) for table in self.rules), self.num_symbols)

    @property
    def num_inner(self) -> int:
        """Nodes above the leaves, each of which picks a rule."""
        return sum(self.branching**level for level in range(self.depth))

    @property
    def num_labels(self) -> int:
        """Symbols n of the root."""
        return self.log_weights.size

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the root's symbols."""
        return self.log_weights

    def restrict(self, mask: Bool[Array, " c"]) -> "RandomHierarchy":
        """The law given that the root's symbol is one of those in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return only_classes(self, mask)

    # One word

    def sample_tree(self, key: Key) -> Tree:
        """Symbols of all nodes, (s^l,) a level, root first; the last is the word."""
        return tuple(one[:, 0] for one in self.grow(self._uniforms(key)))

    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """One word with the symbol of its root."""
        tree = self.sample_tree(key)
        return tree[-1], tree[0][0]

    def beliefs(
        self, site_logits: Float[Array, "n q"], latents: Latents | None = None
    ) -> Beliefs:
        """Marginals of all nodes and the evidence.

        Args:
            site_logits: Log-likelihoods of the symbols of the leaves.
            latents: Log-factors on inner nodes, {level: (s^level, k_level)}; a node is
                clamped by zeros at its symbols and -inf elsewhere.
        """
        up = self._up(site_logits, latents)
        marginals = tuple(one[..., 0].T for one in self.marginals_of(up))
        evidence = self.log_evidence_of(up)[0]
        return Beliefs(marginals, evidence, evidence == -jnp.inf)

    def messages(
        self, site_logits: Float[Array, "n q"], latents: Latents | None = None
    ) -> Messages:
        """Messages of belief propagation, normalised to sum 1."""
        # The prior enters from above.
        flat = eqx.tree_at(
            lambda law: law.log_weights, self, jnp.zeros_like(self.log_weights)
        )
        up = flat._up(site_logits, latents)
        down = _passes.messages_down(
            self._levels, self.log_weights, up, self._factors(latents)
        )
        shown = lambda log: jax.nn.softmax(log[..., 0], axis=0).T
        return Messages(tuple(map(shown, up.messages)), tuple(map(shown, down)))

    def rule_marginals(
        self, site_logits: Float[Array, "n q"], latents: Latents | None = None
    ) -> tuple[Float[Array, "_ _ _"], ...]:
        """P(symbol y, rule r | evidence) of inner nodes, (s^l, k_l, m_l) a level."""
        up = self._up(site_logits, latents)
        marginals = self.marginals_of(up)
        joint = (
            _passes.rule_joint(*level, message, marginal)
            for level, message, marginal in zip(
                self._levels, up.messages[1:], marginals[:-1], strict=True
            )
        )
        return tuple(jnp.moveaxis(one[..., 0], 2, 0) for one in joint)

    def posterior_tree(
        self,
        key: Key,
        site_logits: Float[Array, "n q"],
        latents: Latents | None = None,
    ) -> Tree:
        """An exact draw of all symbols given the evidence, root first."""
        up = self._up(site_logits, latents)
        return tuple(one[:, 0] for one in self.draw_given(up, self._uniforms(key)))

    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(root's symbol, evidence): a common part and the rest."""
        up = self._up(possible_logits, None)
        common = jnp.where(_contradicted(up)[0], -jnp.inf, up.log_size[0])
        each = jnp.where(
            up.contradicted[0][0, 0], self.log_weights, up.messages[0][:, 0, 0]
        )
        return common, each

    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of the symbols of the leaves."""
        return self.marginals_of(self._up(possible_logits, None))[-1][..., 0].T

    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw of a word given the evidence."""
        return self.posterior_tree(key, possible_logits)[-1]

    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance of the numbers values[a_i] of the leaves."""
        return moments_of_values(self, values)

    # The batched door: symbols first, batch last.

    def upward(
        self,
        leaves: Float[Array, "v n b"],
        latents: Mapping[int, Float[Array, "_ _ b"]] | None = None,
    ) -> _passes.Upward:
        """The pass up for log-likelihoods of the leaves, one column an observation."""
        given = dict(latents or {})
        factors = tuple(given.get(level) for level in range(self.depth))
        return _passes.upward(self._levels, self.log_weights, leaves, factors)

    def log_evidence_of(self, up: _passes.Upward) -> Float[Array, " b"]:
        """Log-evidence, -inf where no tree explains the evidence."""
        total = up.log_size + _passes.log_sum(up.messages[0], axis=0)[0]
        return jnp.where(_contradicted(up), -jnp.inf, total)

    def root_of(self, up: _passes.Upward) -> Float[Array, "k 1 b"]:
        """Probabilities of the root's symbols."""
        return _passes.root_marginal(self.log_weights, up)

    def marginals_of(
        self, up: _passes.Upward, root: Float[Array, "k 1 b"] | None = None
    ) -> tuple[Float[Array, "_ _ b"], ...]:
        """Marginals of all nodes, root first.

        With weights of the root's symbols in place of their posterior, sums of joint
        probabilities: `root_of(up)` without one symbol gives P(a node's symbol is a,
        the root's is another).
        """
        root = self.root_of(up) if root is None else root
        return _passes.downward(self._levels, up, root)

    def draw_given(
        self, up: _passes.Upward, uniforms: Float[Array, "i b"]
    ) -> tuple[Int[Array, "_ b"], ...]:
        """Exact draws of trees, root first, by `1 + num_inner` uniforms each."""
        return _passes.draw(self._levels, self.log_weights, up, uniforms)

    def grow(self, uniforms: Float[Array, "i b"]) -> tuple[Int[Array, "_ b"], ...]:
        """Trees of the law, root first, by `1 + num_inner` uniforms each."""
        return _passes.grow(self._levels, self.log_weights, uniforms)

    def _uniforms(self, key: Key) -> Float[Array, "i 1"]:
        return jr.uniform(key, (1 + self.num_inner, 1), self.log_weights.dtype)

    def _up(
        self, site_logits: Float[Array, "n q"], latents: Latents | None
    ) -> _passes.Upward:
        shape = self.num_sites, self.num_symbols
        if site_logits.shape != shape:
            raise ValueError(
                f"`site_logits` has shape {site_logits.shape}; the law takes evidence "
                f"of shape {shape}, a row a leaf: use `jax.vmap` for many."
            )
        return _passes.upward(
            self._levels,
            self.log_weights,
            site_logits.T[..., None],
            self._factors(latents),
        )

    def _factors(self, latents: Latents | None) -> _passes.Latents:
        given = dict(latents or {})
        for level, factor in given.items():
            if not 0 <= level < self.depth:
                raise ValueError(
                    f"`latents` names level {level}; inner levels are 0 ... "
                    f"{self.depth - 1}, and leaves take `site_logits`."
                )
            shape = self.branching**level, self.symbols_of_levels[level]
            if factor.shape != shape:
                raise ValueError(
                    f"`latents[{level}]` has shape {factor.shape}; it must be {shape}, "
                    f"a row a node."
                )
        return tuple(
            given[level].T[..., None] if level in given else None
            for level in range(self.depth)
        )

    @property
    def _levels(self) -> _passes.Levels:
        flat = (table.reshape(-1, self.branching) for table in self.rules)
        return tuple(zip(flat, self.log_rule_weights, strict=True))


def _contradicted(up: _passes.Upward) -> Bool[Array, " b"]:
    return jnp.any(jnp.concatenate(up.contradicted), axis=0)
