import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.nodes import MAX_CARDS, Cluster, Node
from tests.core.bad_values import NO_NUMBERS, NOT_FINITE

GOOD = """
nodes:
  - name: gpu
    count: 2
    capacity: {cpu: 64, memory: 512, gpu: 4}
    device_model: A100
    labels: [eu, trusted]
  - name: login
    capacity: {cpu: 1.5e1}
"""


def read(tmp_path: Path, text: str | bytes) -> Cluster:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Cluster.from_yaml(path)


class TestNode:
    def test_a_node_keeps_its_own_copy_of_the_capacity(self) -> None:
        capacity = {"cpu": 4.0}
        node = Node("n", capacity)
        capacity["cpu"] = 99.0

        assert node.capacity == {"cpu": 4.0}
        with pytest.raises(TypeError):
            node.capacity["cpu"] = 2  # type: ignore[index]

    @pytest.mark.parametrize("name", ["", None, 7])
    def test_the_name_is_text(self, name: object) -> None:
        with pytest.raises(ConfigError, match="node: name must be a non-empty string, got"):
            Node(name, {"cpu": 1})  # type: ignore[arg-type]

    @pytest.mark.parametrize("amount", [*NO_NUMBERS, *NOT_FINITE, -1])
    def test_amounts(self, amount: Any) -> None:
        with pytest.raises(ConfigError, match="node 'n': capacity: gpu must be a finite amount"):
            Node("n", {"cpu": 1, "gpu": amount})

    @pytest.mark.parametrize("capacity", [{}, {"cpu": 0}])
    def test_it_holds_something(self, capacity: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match="node 'n': capacity must have an amount above 0"):
            Node("n", capacity)

    @pytest.mark.parametrize("labels", ["eu", None, [1], {"zone": "eu"}, [""]])
    def test_labels(self, labels: Any) -> None:
        with pytest.raises(ConfigError, match="node 'n': labels must be a list of names"):
            Node("n", {"cpu": 1}, labels=labels)

    @pytest.mark.parametrize("model", [None, 3, ["A100"]])
    def test_device_model(self, model: Any) -> None:
        with pytest.raises(ConfigError, match="node 'n': device_model must be a string"):
            Node("n", {"cpu": 1}, device_model=model)


class TestCluster:
    def test_kinds_that_no_node_has_are_dropped(self) -> None:
        cluster = Cluster((Node("a", {"cpu": 4, "gpu": 0}), Node("b", {"memory": 1})))

        assert cluster.schema.names == ("cpu", "memory")

    def test_a_pool_is_one_node(self) -> None:
        cluster = Cluster.pool(256)

        assert [dict(node.capacity) for node in cluster.nodes] == [{"cpu": 256}]

    @pytest.mark.parametrize("processors", [0, -4, float("nan"), "10", None, True])
    def test_a_pool_needs_processors(self, processors: Any) -> None:
        with pytest.raises(ConfigError, match="node 'pool': capacity"):
            Cluster.pool(processors)

    def test_pickle_and_copy(self) -> None:
        cluster = Cluster((Node("a", {"cpu": 4, "gpu": 2}, "A100", frozenset({"eu"})),))

        assert pickle.loads(pickle.dumps(cluster)) == cluster
        assert copy.deepcopy(cluster) == cluster

    def test_no_nodes(self) -> None:
        with pytest.raises(ConfigError, match="at least one node, got none"):
            Cluster(())

    @pytest.mark.parametrize("nodes", [None, 3, "abc", [{"name": "a"}], {"a": 1}, [None]])
    def test_things_that_are_no_nodes(self, nodes: Any) -> None:
        with pytest.raises(ConfigError, match="nodes must be a list of Node, got"):
            Cluster(nodes)

    def test_equal_names(self) -> None:
        with pytest.raises(ConfigError, match="two nodes are named 'a'; names must differ"):
            Cluster((Node("a", {"cpu": 1}), Node("b", {"cpu": 1}), Node("a", {"cpu": 2})))

    def test_an_unknown_kind_names_the_node_and_the_nearest_kind(self) -> None:
        with pytest.raises(
            ConfigError, match=r"node 'a': capacity: .*'gpus'; did you mean 'gpu'\?"
        ):
            Cluster((Node("a", {"gpus": 1}),))

    @pytest.mark.parametrize("cards", [0.5, 0.001])
    def test_a_node_has_whole_cards(self, cards: float) -> None:
        with pytest.raises(ConfigError, match="node 'a': capacity: device kinds must be whole"):
            Cluster((Node("a", {"cpu": 1, "gpu": cards}),))

    def test_the_most_cards(self) -> None:
        Cluster((Node("a", {"gpu": MAX_CARDS}),))
        Cluster((Node("a", {"gpu": 60, "fpga": 3}), Node("b", {"gpu": 1, "fpga": 2})))
        with pytest.raises(ConfigError, match="at most 63, got gpu 64"):
            Cluster((Node("a", {"gpu": 64}),))

    def test_card_columns_are_counted_over_all_nodes(self) -> None:
        # Card sets are bits of an int64; the columns hold the widest node of each kind, so two
        # nodes with 40 GPUs and 40 FPGAs need 80 bits although each of them has only 40 cards.
        with pytest.raises(ConfigError, match="add up to at most 63, got gpu 40, fpga 40"):
            Cluster((Node("a", {"gpu": 40}), Node("b", {"fpga": 40})))


class TestYaml:
    def test_a_good_file(self, tmp_path: Path) -> None:
        cluster = read(tmp_path, GOOD)

        assert [node.name for node in cluster.nodes] == ["gpu-0", "gpu-1", "login"]
        assert cluster.nodes[1] == Node(
            "gpu-1", {"cpu": 64, "memory": 512, "gpu": 4}, "A100", frozenset({"eu", "trusted"})
        )
        assert cluster.nodes[2].capacity == {"cpu": 15}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected a mapping of names to values, got None"),
            ("- name: a", "expected a mapping of names to values, got [{'name': 'a'}]"),
            ("just text", "expected a mapping of names to values, got 'just text'"),
            ("1: 2", "expected a mapping of names to values, got {1: 2}"),
            ("node: []", "unknown key 'node'; did you mean 'nodes'?"),
            ("nodes: []", "nodes must be a non-empty list, got []"),
            ("nodes:", "nodes must be a non-empty list, got None"),
            ("{}", "nodes must be a non-empty list, got None"),
            ("nodes: gpu", "nodes must be a non-empty list, got 'gpu'"),
            ("nodes: {name: a}", "nodes must be a non-empty list, got {'name': 'a'}"),
            ("nodes: [a]", "nodes[0]: expected a mapping of names to values, got 'a'"),
            ("nodes: [{}]", "nodes[0]: name must be a non-empty string, got None"),
            ("nodes: [{name: 3}]", "nodes[0]: name must be a non-empty string, got 3"),
            ("nodes: [{nam: a}]", "nodes[0]: unknown key 'nam'; did you mean 'name'?"),
        ],
    )
    def test_bad_structure(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, text)

        assert str(tmp_path / "cluster.yaml") in str(caught.value)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("count: 2", "capacity: expected a mapping of names to values, got None"),
            ("capacity: 4", "capacity: expected a mapping of names to values, got 4"),
            ("capacity: {cpu: '8'}", "cpu must be a finite amount >= 0, got '8'; write it without"),
            ("capacity: {cpu: eight}", "capacity: cpu must be a finite amount >= 0, got 'eight'"),
            ("capacity: {cpu: .nan}", "capacity: cpu must be a finite amount >= 0, got nan"),
            ("capacity: {cpu: .inf}", "capacity: cpu must be a finite amount >= 0, got inf"),
            ("capacity: {cpu: -1}", "capacity: cpu must be a finite amount >= 0, got -1"),
            ("capacity: {cpu: yes}", "capacity: cpu must be a finite amount >= 0, got True"),
            ("capacity: {cpu: }", "capacity: cpu must be a finite amount >= 0, got None"),
            ("capacity: {cpu: 0}", "capacity must have an amount above 0, got {'cpu': 0}"),
            ("capacity: {gpus: 1}", "unknown resource kind 'gpus'; did you mean 'gpu'?"),
            ("capacity: {gpu: 1.5}", "gpu must be a whole number of cards"),
            ("capacity: {gpu: 0.5}", "device kinds must be whole cards, got {'gpu': 0.5}"),
            ("capacity: {gpu: 64}", "must add up to at most 63, got gpu 64"),
            ("capacity: {cpu: 1e300}", "cpu must be a finite amount from 0 to 9007199254740"),
            (
                "capacity: {cpu: 1}, count: 0",
                "count must be a whole number from 1 to 1000000, got 0",
            ),
            ("capacity: {cpu: 1}, count: 1.5", "count must be a whole number from 1 to 1000000"),
            ("capacity: {cpu: 1}, count: '2'", "count must be a whole number from 1 to 1000000"),
            ("capacity: {cpu: 1}, count: yes", "count must be a whole number from 1 to 1000000"),
            ("capacity: {cpu: 1}, count: ", "count must be a whole number from 1 to 1000000"),
            ("capacity: {cpu: 1}, count: 10000000000", "count must be a whole number from 1"),
            (
                "capacity: {cpu: 1}, labels: eu",
                "labels must be a list of names, got 'eu'; write [eu]",
            ),
            ("capacity: {cpu: 1}, labels: [1]", "labels must be a list of names, got [1]"),
            ("capacity: {cpu: 1}, labels: ", "labels must be a list of names, got None"),
            ("capacity: {cpu: 1}, device_model: 4", "device_model must be a string, got 4"),
            ("capacity: {cpu: 1}, lables: [eu]", "unknown key 'lables'; did you mean 'labels'?"),
        ],
    )
    def test_bad_nodes(self, tmp_path: Path, entry: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, f"nodes: [{{name: n, {entry}}}]")

        assert str(tmp_path / "cluster.yaml") in str(caught.value)
        assert message in str(caught.value)

    def test_the_entry_at_fault_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nodes\[1\]: node 'b-0': capacity: cpu"):
            read(
                tmp_path,
                "nodes: [{name: a, capacity: {cpu: 1}}, {name: b, count: 2, capacity: {cpu: x}}]",
            )

    def test_equal_names(self, tmp_path: Path) -> None:
        text = """
            nodes:
              - {name: a, count: 2, capacity: {cpu: 1}}
              - {name: a-1, capacity: {cpu: 1}}
        """
        with pytest.raises(ConfigError, match=r"cluster.yaml: .*two nodes are named 'a-1'"):
            read(tmp_path, text)

    def test_a_key_given_twice(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"'cpu' given twice .* line 3"):
            read(tmp_path, "nodes:\n  - name: a\n    capacity: {cpu: 1, cpu: 2}\n")

    @pytest.mark.parametrize(
        "content",
        [b"\x7fELF\x02\x01\xff\xfe", b"\x1f\x8b\x08\x00\x9c", bytes(range(256)), b"nodes: \xff"],
    )
    def test_binary(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(InputFileError, match=r"cluster\.yaml"):
            read(tmp_path, content)

    @pytest.mark.parametrize(
        "text", ["nodes: [", "nodes: {a: b", "\tnodes:", "a: b: c", "nodes: *x"]
    )
    def test_not_yaml(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(InputFileError, match=r"cluster\.yaml is not valid YAML: "):
            read(tmp_path, text)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"cannot read .*absent\.yaml: No such file"):
            Cluster.from_yaml(tmp_path / "absent.yaml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"cannot read .*: Is a directory"):
            Cluster.from_yaml(tmp_path)
