"""Who comes first by F4 on clusters of so many resource kinds; run by test_machine_code.

python -m tests.core.first_of_kinds KINDS...
"""

import sys

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import DEFAULT_SCHEMA, ResourceKind, ResourceSchema
from lepton_rl.core.rules.orders import Order, PriorityWeights
from tests.builders import Desk, batch_job

CAPACITY = {"cpu": 8, "memory": 8, "gpu": 2, "fpga": 1, "nic": 1}
SCHEMA = ResourceSchema((*DEFAULT_SCHEMA.kinds, ResourceKind("nic", "cards", 1000, is_device=True)))


def first(kinds: int) -> str:
    """The shorter of two tasks, which came later."""
    capacity = dict(list(CAPACITY.items())[:kinds])
    desk = Desk(
        Cluster((Node("n", capacity),), SCHEMA), [batch_job("long", 1, 9), batch_job("short", 1, 2)]
    )
    desk.submit("long", "short")
    return str(desk.first(Order.SJF, PriorityWeights()))


if __name__ == "__main__":
    print(*(first(int(kinds)) for kinds in sys.argv[1:]))
