from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.settings import (
    Settings,
    apply_overrides,
    load_settings,
    read_yaml,
    require_mapping,
)


class Network(Settings):
    width: int = 64
    dropout: float | None = None


class Train(Settings):
    seed: int = Field(0, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    device: Literal["auto", "cpu"] = "auto"
    budget: float | Literal["auto"] = "auto"
    verbose: bool = False
    network: Network = Network()
    teacher: Network | None = None
    stages: tuple[Network, ...] = ()


class Named(Settings):
    name: str


def problem(data: object, model: type[Settings] = Train) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(model, data, "train.yaml")
    message = str(caught.value)
    assert message.startswith("train.yaml: ")
    return message.removeprefix("train.yaml: ")


class TestLoad:
    def test_defaults(self) -> None:
        assert load_settings(Train, None, "x") == Train()
        assert load_settings(Train, {}, "x") == Train()

    def test_values(self) -> None:
        data = {"seed": 3, "network": {"width": 8}, "teacher": {"dropout": 0.1}, "budget": 2}
        found = load_settings(Train, data, "x")

        assert found.seed == 3
        assert found.network.width == 8
        assert found.teacher == Network(dropout=0.1)
        assert found.budget == 2

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Train().seed = 4  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("data", "hint"),
        [
            ({"sed": 1}, "unknown setting 'sed'; did you mean 'seed'?"),
            ({"network": {"widht": 1}}, "unknown setting 'network.widht'; did you mean 'width'?"),
            ({"teacher": {"widht": 1}}, "unknown setting 'teacher.widht'; did you mean 'width'?"),
            ({"stages": [{"widht": 1}]}, "unknown setting 'stages.0.widht'; did you mean 'width'?"),
            ({"zzz": 1}, "unknown setting 'zzz'; known: budget, device, learning_rate, network"),
        ],
    )
    def test_unknown_settings_get_the_nearest_name(self, data: object, hint: str) -> None:
        assert problem(data).startswith(hint)

    @pytest.mark.parametrize("value", ["3", "three", "", True, False])
    @pytest.mark.parametrize(
        ("name", "wrap"),
        [
            ("seed", lambda v: {"seed": v}),
            ("learning_rate", lambda v: {"learning_rate": v}),
            ("network.dropout", lambda v: {"network": {"dropout": v}}),
        ],
    )
    def test_strings_and_booleans_are_no_numbers(self, name: str, wrap: Any, value: object) -> None:
        assert problem(wrap(value)) == f"{name}: expected a number, got {value!r}"

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_not_finite(self, value: float) -> None:
        assert problem({"learning_rate": value}).startswith("learning_rate: Input should be a fin")
        assert problem({"network": {"dropout": value}}).startswith("network.dropout: Input should")

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"learning_rate": 0}, "learning_rate: Input should be greater than 0, got 0"),
            ({"learning_rate": -1}, "learning_rate: Input should be greater than 0, got -1"),
            ({"learning_rate": None}, "learning_rate: Input should be a valid number, got None"),
            ({"learning_rate": [1]}, "learning_rate: Input should be a valid number, got [1]"),
            ({"seed": 1.5}, "seed: Input should be a valid integer, got a number with a frac"),
            ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
            ({"device": "cuda:9"}, "device: Input should be 'auto' or 'cpu', got 'cuda:9'"),
            ({"network": 3}, "network: Input should be a valid dictionary or instance of Network"),
            (
                [1, 2],
                "(top level): Input should be a valid dictionary or instance of Train, got [1",
            ),
            (
                "text",
                "(top level): Input should be a valid dictionary or instance of Train, got 't",
            ),
            ({1: 2}, "1: Keys should be strings, got "),
        ],
    )
    def test_bad_values(self, data: object, message: str) -> None:
        assert problem(data).startswith(message)

    def test_a_missing_setting(self) -> None:
        assert problem({}, Named) == "name: required, but not set"

    def test_all_problems_are_listed(self) -> None:
        found = problem({"sed": 1, "seed": -1})

        assert "unknown setting 'sed'" in found
        assert "seed: Input should be greater than or equal to 0, got -1" in found

    def test_a_default_is_checked_too(self) -> None:
        class Wrong(Settings):
            rate: float = float("nan")

        assert problem({}, Wrong).startswith("rate: Input should be a finite number")


class TestYaml:
    def read(self, tmp_path: Path, text: str) -> object:
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return read_yaml(path)

    @pytest.mark.parametrize(
        ("text", "value"),
        [("3e-4", 3e-4), ("1e5", 1e5), ("-2.5E+3", -2500.0), ("1.e3", 1000.0), ("+1e2", 100.0)],
    )
    def test_exponents_are_numbers(self, tmp_path: Path, text: str, value: float) -> None:
        assert self.read(tmp_path, f"a: {text}") == {"a": value}

    @pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "'1e5'", "v1e5", "1-e5"])
    def test_other_text_stays_text(self, tmp_path: Path, text: str) -> None:
        assert self.read(tmp_path, f"a: {text}") == {"a": text.strip("'")}

    def test_a_key_given_twice(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"a\.yaml is not valid YAML: 'seed' given twice"):
            self.read(tmp_path, "train:\n  seed: 1\n  seed: 2\n")

    def test_equal_keys_in_different_places(self, tmp_path: Path) -> None:
        text = "a: {x: 1}\nb: {x: 2}\nc: &base {x: 3}\nd: {<<: *base, x: 4}\n"

        assert self.read(tmp_path, text) == {
            "a": {"x": 1},
            "b": {"x": 2},
            "c": {"x": 3},
            "d": {"x": 4},
        }

    @pytest.mark.parametrize(
        "text",
        [
            "a: !!python/object/apply:os.getcwd []",
            "a: !!python/name:os.system",
            "a: 2024-13-45",  # a date, says YAML, of a month that does not exist
            "a: 0x_",  # int() raises ValueError
            "a: !!bool maybe",  # KeyError
            "a: !!timestamp noon",  # AttributeError
            "{[1]: 2}",
            "a: 1\n---\nb: 2",
            "[" * 5_000,  # RecursionError
            "a: \x07",
        ],
    )
    def test_what_the_parser_cannot_read(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(InputFileError, match=r"a\.yaml is not valid YAML: ") as caught:
            self.read(tmp_path, text)

        assert "\n" not in str(caught.value)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "# nothing\n") is None

    def test_a_name_that_cannot_be_a_file(self) -> None:
        with pytest.raises(InputFileError, match="cannot read"):
            read_yaml("a\0b")


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ("seed=3", {"seed": 3}),
            ("learning_rate=3e-4", {"learning_rate": 3e-4}),
            ("verbose=true", {"verbose": True}),
            ("sizes=[1, 2]", {"sizes": [1, 2]}),
            ("device=cuda:0", {"device": "cuda:0"}),
            ("network.width=8", {"network": {"width": 8}}),
            ("a.b.c=x=y", {"a": {"b": {"c": "x=y"}}}),
            (" seed = 3", {"seed": 3}),
            ("seed=", {"seed": None}),
        ],
    )
    def test_values(self, override: str, expected: object) -> None:
        assert apply_overrides({}, [override]) == expected

    def test_the_last_one_wins_and_neighbours_stay(self) -> None:
        data = {"network": {"width": 4, "dropout": 0.5}, "seed": 1}

        found = apply_overrides(data, ["network.width=8", "seed=2", "seed=3"])

        assert found == {"network": {"width": 8, "dropout": 0.5}, "seed": 3}
        assert data == {"network": {"width": 4, "dropout": 0.5}, "seed": 1}

    def test_an_empty_section_can_be_filled(self) -> None:
        assert apply_overrides({"network": None}, ["network.width=8"]) == {"network": {"width": 8}}

    @pytest.mark.parametrize("override", ["seed", "", "=3", "a..b=1", ".a=1", "a.=1", " =1"])
    def test_no_name(self, override: str) -> None:
        with pytest.raises(ConfigError, match=r"expected name=value, e\.g\. train\.seed=3"):
            apply_overrides({}, [override])

    @pytest.mark.parametrize("value", [3, 0, "text", "", False, [1], []])
    def test_a_value_has_nothing_below_it(self, value: object) -> None:
        with pytest.raises(ConfigError, match="'seed' has no settings below it"):
            apply_overrides({"seed": value}, ["seed.x=1"])

    @pytest.mark.parametrize("text", ["[1", "{a: b", "2024-13-45", "{a: 1, a: 2}", "*x"])
    def test_values_that_are_no_yaml(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"--set .*: the value is not YAML: ") as caught:
            apply_overrides({}, [f"a={text}"])

        assert "\n" not in str(caught.value)


class TestMapping:
    def test_it_passes(self) -> None:
        assert require_mapping({"a": 1}, "here", {"a", "b"}) == {"a": 1}
        assert require_mapping({"z": 1}, "here", None) == {"z": 1}

    @pytest.mark.parametrize("data", [None, 3, "a", ["a"], {1: 2}, {None: 1}, {"a": 1, True: 2}])
    def test_other_things(self, data: object) -> None:
        with pytest.raises(ConfigError, match="here: expected a mapping of names to values, got"):
            require_mapping(data, "here", None)

    def test_unknown_keys(self) -> None:
        with pytest.raises(
            ConfigError, match=r"here: unknown key 'labls'; did you mean 'labels'\?"
        ):
            require_mapping({"labls": 1}, "here", {"labels", "name"})

    def test_a_long_value_is_cut(self) -> None:
        with pytest.raises(ConfigError) as caught:
            require_mapping(["x" * 1000] * 1000, "here", None)

        assert len(str(caught.value)) < 700
