"""mfsym: the infinite-width limit of two-layer networks, exactly where symmetry allows it."""

from .startup import is_command_line as _is_command_line
from .startup import keep_compiled_programs as _keep_compiled_programs

if _is_command_line():  # the process is our own; nothing is set where mfsym is imported
    _keep_compiled_programs()

from . import plot as plot
from .control.stop import Stop as Stop
from .crosscheck import cross_check as cross_check
from .crosscheck import judge as judge
from .crosscheck import run_clouds as run_clouds
from .errors import ArgumentError as ArgumentError
from .errors import FileError as FileError
from .errors import NoReductionError as NoReductionError
from .errors import NoTwinError as NoTwinError
from .errors import SolveError as SolveError
from .fluctuations.budget import error_budget as error_budget
from .fluctuations.cloud import fluctuation as fluctuation
from .fluctuations.panels import budget_times as budget_times
from .fluctuations.report import ErrorBudget as ErrorBudget
from .fluctuations.steady import Stability as Stability
from .fluctuations.steady import stability as stability
from .groups import SO as SO
from .groups import Action as Action
from .groups import BlockOrthogonal as BlockOrthogonal
from .groups import FiniteGroup as FiniteGroup
from .groups import O as O
from .groups import Symmetry as Symmetry
from .groups import complete_basis as complete_basis
from .groups import cyclic as cyclic
from .groups import dihedral as dihedral
from .groups import generate as generate
from .groups import product as product
from .groups import representation as representation
from .groups import signed_permutations as signed_permutations
from .groups import symmetric as symmetric
from .invariance import DiscoveryReport as DiscoveryReport
from .invariance import GapReport as GapReport
from .invariance import Subspace as Subspace
from .invariance import TransversalRate as TransversalRate
from .invariance import discover as discover
from .invariance import invariance_gap as invariance_gap
from .invariance import transversal_rate as transversal_rate
from .langevin.relaxation_rates import Relaxation as Relaxation
from .langevin.relaxation_rates import relaxation as relaxation
from .langevin.stationary import Equilibrium as Equilibrium
from .langevin.stationary import equilibrium as equilibrium
from .lift import project as project
from .lift import sample_cloud as sample_cloud
from .neurons import BiasedParticles as BiasedParticles
from .neurons import Particles as Particles
from .neurons import fixed_basis as fixed_basis
from .neurons import fixed_part as fixed_part
from .neurons import moments_of as moments_of
from .neurons import orbit_cloud as orbit_cloud
from .particles.descent import descend as descend
from .particles.flow import solve_particles as solve_particles
from .particles.initial import gaussian_cloud as gaussian_cloud
from .particles.initial import initial_cloud as initial_cloud
from .particles.initial import sphere_cloud as sphere_cloud
from .particles.observables import measure_cloud as measure_cloud
from .particles.risk.choose import risk_of as risk_of
from .particles.risk.schemes import DataAugmentation as DataAugmentation
from .particles.risk.schemes import EquivariantArchitecture as EquivariantArchitecture
from .particles.risk.schemes import FeatureAveraging as FeatureAveraging
from .predict import predict as predict
from .problem.block_inputs import GaussianBlocks as GaussianBlocks
from .problem.block_targets import BlockNorms as BlockNorms
from .problem.block_targets import MultiIndex as MultiIndex
from .problem.canonical import canonical as canonical
from .problem.covariance import GaussianCovariance as GaussianCovariance
from .problem.cubature import cubature as cubature
from .problem.empirical import Empirical as Empirical
from .problem.inputs import Gaussian as Gaussian
from .problem.inputs import Sphere as Sphere
from .problem.layered_units import MatrixUnit as MatrixUnit
from .problem.layered_units import MLPUnit as MLPUnit
from .problem.layered_units import VectorUnit as VectorUnit
from .problem.losses import CrossEntropy as CrossEntropy
from .problem.losses import FunctionLoss as FunctionLoss
from .problem.losses import Huber as Huber
from .problem.losses import Logistic as Logistic
from .problem.losses import SquareLoss as SquareLoss
from .problem.orbits import fundamental_domain as fundamental_domain
from .problem.problem import Problem as Problem
from .problem.rotated import Rotated as Rotated
from .problem.start import AngularStart as AngularStart
from .problem.start import BiasedStart as BiasedStart
from .problem.start import GaussianStart as GaussianStart
from .problem.start import IndependentStart as IndependentStart
from .problem.start import NormalStart as NormalStart
from .problem.start import SphereStart as SphereStart
from .problem.start import UnbalancedStart as UnbalancedStart
from .problem.symmetric_units import AveragedUnit as AveragedUnit
from .problem.symmetric_units import CanonicalUnit as CanonicalUnit
from .problem.symmetric_units import FixedUnit as FixedUnit
from .problem.targets import FunctionTarget as FunctionTarget
from .problem.targets import LinearTarget as LinearTarget
from .problem.targets import RadialIndex as RadialIndex
from .problem.targets import SingleIndex as SingleIndex
from .problem.targets import SubspaceNorm as SubspaceNorm
from .problem.targets import Teacher as Teacher
from .problem.training import Training as Training
from .problem.tree_units import FunctionUnit as FunctionUnit
from .problem.tree_units import ModuleUnit as ModuleUnit
from .problem.unit_actions import action as action
from .problem.units import GELU as GELU
from .problem.units import Identity as Identity
from .problem.units import LeakyReLU as LeakyReLU
from .problem.units import Neuron as Neuron
from .problem.units import ReLU as ReLU
from .problem.units import SiLU as SiLU
from .reduce import reduce as reduce
from .reduced.build import stack as stack
from .reduced.fields import density as density
from .reduced.fields import drift as drift
from .reduced.fields import potential as potential
from .reduced.flow import solve_reduced as solve_reduced
from .reduced.odd.moment_flow import descend_moments as descend_moments
from .sharding import shard as shard
from .solution import Solution as Solution
from .storage.checkpoints import Checkpoints as Checkpoints
from .storage.files import load as load
from .storage.files import save as save
from .sweep import Sweep as Sweep
from .sweep import sweep as sweep
from .symmetry.action import act as act
from .symmetry.defect import symmetry_defect as symmetry_defect
from .symmetry.detect import detect as detect
from .symmetry.distance import relative_distance as relative_distance
from .symmetry.equivariance import EquivarianceReport as EquivarianceReport
from .symmetry.equivariance import equivariance_defect as equivariance_defect
from .symmetry.projection import project_cloud as project_cloud
from .symmetry.report import DetectionReport as DetectionReport
from .symmetry.restriction import from_coordinates as from_coordinates
from .symmetry.restriction import restrict as restrict
from .symmetry.restriction import to_coordinates as to_coordinates
from .symmetry.symmetric_targets import symmetric_floor as symmetric_floor
from .symmetry.symmetric_targets import symmetrised as symmetrised
from .twin import Twin as Twin
from .twin import twin as twin
from .version import __version__ as __version__

_LATE = ("deep", "noether")  # rooms that are imported when first used: neither route needs them


def __getattr__(name: str):
    """`mf.noether` and `mf.deep`, imported when they are first used."""
    if name == "deep":
        import mfsym.deep

        return mfsym.deep
    if name == "noether":
        import mfsym.noether

        return mfsym.noether
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
