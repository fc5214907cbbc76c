"""Laws p0 whose posterior under the Gaussian channel is known exactly.

They know alpha and sigma, never time. Every method takes one point; `jax.vmap` batches.
"""

from jaxwin.targets._bandwidth import likely_bandwidth as likely_bandwidth
from jaxwin.targets._base import (
    AbstractDenoiser as AbstractDenoiser,
    AbstractLabelledTarget as AbstractLabelledTarget,
    AbstractTarget as AbstractTarget,
    Local as Local,
    Moments as Moments,
)
from jaxwin.targets._curie_weiss import CurieWeiss as CurieWeiss
from jaxwin.targets._discrete import AbstractDiscreteLaw as AbstractDiscreteLaw
from jaxwin.targets._discrete_target import (
    AbstractDiscreteTarget as AbstractDiscreteTarget,
)
from jaxwin.targets._empirical import Empirical as Empirical
from jaxwin.targets._function_denoiser import FunctionDenoiser as FunctionDenoiser
from jaxwin.targets._gaussian_mixture import GaussianMixture as GaussianMixture
from jaxwin.targets._hidden_manifold import HiddenManifold as HiddenManifold
from jaxwin.targets._hypersphere import Hypersphere as Hypersphere
from jaxwin.targets._ising_chain import (
    IsingChain as IsingChain,
    ising_covariance_distance as ising_covariance_distance,
    ising_covariance_distance_limit as ising_covariance_distance_limit,
)
from jaxwin.targets._markov_chain import MarkovChain as MarkovChain
from jaxwin.targets._one_hot import OneHot as OneHot
from jaxwin.targets._patterns import (
    orthogonal_patterns as orthogonal_patterns,
    simplex as simplex,
)
from jaxwin.targets._point_groups import PointGroups as PointGroups
from jaxwin.targets._product_mixture import ProductMixture as ProductMixture
from jaxwin.targets._reduction import Reduction as Reduction, reduce as reduce
from jaxwin.targets._spins import Spins as Spins
from jaxwin.targets._token_mixture import TokenMixture as TokenMixture
from jaxwin.targets.random_hierarchy import RandomHierarchy as RandomHierarchy
