"""Gymnasium environments.

Importing this package registers their ids; so does the module prefix of Gymnasium itself:
`gymnasium.make("lepton_rl.envs:lepton_rl/HPC-v0")`. (Gymnasium 1.0 dropped the entry points by
which an installed package could register ids without being named.)

Settings and episodes work without Gymnasium too; then nothing is registered.
"""

from importlib.util import find_spec

from lepton_rl.envs.registration import ENVIRONMENTS, register_all

__all__ = ["ENVIRONMENTS", "register_all"]

if find_spec("gymnasium") is not None:
    register_all()
