"""A stateful HTTP server that behaves as api.github.com does, for the demo and the tests.

It knows nothing of the product and could be lifted out of it. `World` is what exists,
`Simulator` serves it, `Fault` says what shall go wrong.
"""

from syncsvc.simulator.faults import Fault
from syncsvc.simulator.generate import AccountPlan
from syncsvc.simulator.log import Exchange
from syncsvc.simulator.records import WorldError
from syncsvc.simulator.simulator import Simulator
from syncsvc.simulator.weather import Weather
from syncsvc.simulator.world import World

__all__ = ["AccountPlan", "Exchange", "Fault", "Simulator", "Weather", "World", "WorldError"]
