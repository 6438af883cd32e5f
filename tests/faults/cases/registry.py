"""All cases by their name, in the order in which they run; the soak, which is long, comes last."""

from faults.cases import broker, clocks, disk, fuzzed, intake, kills, lifecycle, price, soak, store
from faults.harness.case import Case

_MODULES = (kills, lifecycle, broker, store, intake, disk, clocks, fuzzed, price, soak)
CASES: dict[str, Case] = {case.name: case for module in _MODULES for case in module.CASES}
