from __future__ import annotations

import numpy as np

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.workloads.record_codes import write_codes

CLUSTER = Cluster((Node("n", {"cpu": 1}, speed_factors={"train": 2.0, "serve": 1.5}),))


def test_tenants_are_numbered_by_their_first_task_and_classes_as_nodes_name_them() -> None:
    records = np.zeros(5, [("tenant", np.int32), ("task_class", np.int32)])
    tenants = np.array(["eve", "", "ann", "eve", "bob"])
    classes = np.array(["train", "other", "", "serve", "train"])
    write_codes(records, CLUSTER, tenants, classes)
    assert records["tenant"].tolist() == [1, 0, 2, 1, 3]
    assert records["task_class"].tolist() == [2, 0, 0, 1, 2]


def test_nothing_to_write() -> None:
    records = np.ones(2, [("tenant", np.int32), ("task_class", np.int32)])
    write_codes(records, CLUSTER, None, None)
    assert records["tenant"].tolist() == records["task_class"].tolist() == [1, 1]
