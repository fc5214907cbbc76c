"""Reverse-time steps, the drivers that run them, and what surrounds a run."""

from jaxwin.samplers._adaptive import (
    Solution as Solution,
    solve_flow as solve_flow,
    solve_sde as solve_sde,
)
from jaxwin.samplers._ancestral import Ancestral as Ancestral
from jaxwin.samplers._base import AbstractStep as AbstractStep
from jaxwin.samplers._ddim import DDIM as DDIM
from jaxwin.samplers._deis import DEIS as DEIS
from jaxwin.samplers._dpm_solver import DPMSolverPP as DPMSolverPP
from jaxwin.samplers._drive import sample as sample, sample_block as sample_block
from jaxwin.samplers._edm_heun import EDMHeun as EDMHeun
from jaxwin.samplers._elbo import elbo as elbo
from jaxwin.samplers._euler_maruyama import EulerMaruyama as EulerMaruyama
from jaxwin.samplers._exact_transition import ExactTransition as ExactTransition
from jaxwin.samplers._exponential import ExponentialEuler as ExponentialEuler
from jaxwin.samplers._flows import EulerFlow as EulerFlow, HeunFlow as HeunFlow
from jaxwin.samplers._likelihood import (
    Likelihood as Likelihood,
    log_likelihood as log_likelihood,
)
from jaxwin.samplers._masked_ancestral import masked_ancestral as masked_ancestral
from jaxwin.samplers._moves import (
    Corrected as Corrected,
    Restarting as Restarting,
)
from jaxwin.samplers._pndm import PNDM as PNDM
from jaxwin.samplers._reduced import (
    ReducedScheme as ReducedScheme,
    reduce_scheme as reduce_scheme,
)
from jaxwin.samplers._sampled_observed import (
    LogSNRGrid as LogSNRGrid,
    SampledObserved as SampledObserved,
)
from jaxwin.samplers._seeds import SEEDS as SEEDS
from jaxwin.samplers._simulate import (
    Simulation as Simulation,
    labels as labels,
    simulate as simulate,
)
from jaxwin.samplers._starts import (
    FromLaw as FromLaw,
    FromMoments as FromMoments,
    FromPrior as FromPrior,
    HorizonBias as HorizonBias,
    horizon_bias as horizon_bias,
)
from jaxwin.samplers._stochastic_heun import StochasticHeun as StochasticHeun
from jaxwin.samplers._trajectory import (
    clones as clones,
    forward_backward as forward_backward,
    trajectory as trajectory,
)
from jaxwin.samplers._uniform_ancestral import (
    uniform_ancestral as uniform_ancestral,
)
from jaxwin.samplers._unipc import UniPC as UniPC
from jaxwin.samplers._unmasking_bias import (
    UnmaskingBias as UnmaskingBias,
    unmasking_bias as unmasking_bias,
)
