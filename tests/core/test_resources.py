import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA, ResourceKind, ResourceSchema
from tests.core.bad_values import NO_NUMBERS, NOT_FINITE

CPU = ResourceKind("cpu", "cores", 1000)
GPU = ResourceKind("gpu", "cards", CARD, is_device=True)


def units(**amounts: object) -> tuple[int, ...]:
    return DEFAULT_SCHEMA.to_units(amounts, "node 'n'")  # type: ignore[arg-type]


class TestUnits:
    def test_amounts_come_in_column_order_and_missing_kinds_are_zero(self) -> None:
        assert units(gpu=2, cpu=1.5) == (1500, 0, 2000, 0)
        assert units(memory=0.5, fpga=1) == (0, 512, 0, 1000)

    @pytest.mark.parametrize(
        ("cores", "expected"), [(0, 0), (0.001, 1), (0.0014, 1), (0.0016, 2), (0.1 + 0.2, 300)]
    )
    def test_amounts_are_rounded_to_the_nearest_unit(self, cores: float, expected: int) -> None:
        assert units(cpu=cores)[0] == expected

    @pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
    def test_a_share_of_one_card(self, share: float) -> None:
        assert units(gpu=share)[2] == round(share * CARD)

    @pytest.mark.parametrize("cards", [1, 2.0, 63])
    def test_whole_cards(self, cards: float) -> None:
        assert units(gpu=cards)[2] == cards * CARD

    @pytest.mark.parametrize("cards", [1.5, 1.001, 2.25, 62.999])
    def test_shares_of_several_cards_are_refused(self, cards: float) -> None:
        with pytest.raises(ConfigError, match=r"node 'n': gpu must be a whole number of cards, or"):
            units(gpu=cards)

    @pytest.mark.parametrize("amount", NO_NUMBERS)
    def test_no_number(self, amount: object) -> None:
        with pytest.raises(ConfigError, match=r"node 'n': cpu must be a finite amount .*, got "):
            units(cpu=amount)

    @pytest.mark.parametrize("amount", [*NOT_FINITE, -1, -1e-9, 1e300, 1e308, 2**53])
    def test_out_of_range(self, amount: float) -> None:
        with pytest.raises(ConfigError, match=r"cpu must be a finite amount from 0 to \d+ in core"):
            units(cpu=amount)

    def test_the_largest_amount_is_exact(self) -> None:
        assert units(memory=2**43)[1] == 2**53

    @pytest.mark.parametrize("amount", [0.0004, 1e-12, 5e-324])
    def test_amounts_that_would_vanish_are_refused(self, amount: float) -> None:
        with pytest.raises(ConfigError, match=r"cpu of .* is below the unit of 0\.001"):
            units(cpu=amount)

    def test_an_unknown_kind_gets_the_nearest_name_and_says_whose_it_is(self) -> None:
        with pytest.raises(
            ConfigError, match=r"^node 'n': unknown .* 'gpus'; did you mean 'gpu'\?"
        ):
            units(gpus=1)

    def test_with_no_near_name_the_known_ones_are_listed(self) -> None:
        with pytest.raises(ConfigError, match="known: cpu, fpga, gpu, memory"):
            units(bandwidth=1)

    def test_a_quoted_number_gets_a_hint(self) -> None:
        with pytest.raises(ConfigError, match="got '8'; write it without quotes"):
            units(cpu="8")


class TestSchema:
    def test_columns(self) -> None:
        assert DEFAULT_SCHEMA.names == ("cpu", "memory", "gpu", "fpga")
        assert (DEFAULT_SCHEMA.num_divisible, DEFAULT_SCHEMA.num_devices) == (2, 2)
        assert "gpu" in DEFAULT_SCHEMA
        assert "tpu" not in DEFAULT_SCHEMA

    def test_kind_by_name(self) -> None:
        assert DEFAULT_SCHEMA.kind("gpu").is_device
        with pytest.raises(ConfigError, match="did you mean 'memory'"):
            DEFAULT_SCHEMA.kind("memroy")

    def test_restriction_keeps_the_order(self) -> None:
        assert DEFAULT_SCHEMA.restricted_to(["gpu", "cpu", "nothing"]).names == ("cpu", "gpu")

    def test_a_list_of_kinds_becomes_a_tuple(self) -> None:
        assert ResourceSchema([CPU, GPU]).kinds == (CPU, GPU)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("kinds", "message"),
        [
            ((), "at least one, got none"),
            ((CPU, CPU), "names must differ, got cpu, cpu"),
            ((GPU, CPU), "divisible kinds must come before device kinds"),
        ],
    )
    def test_bad_schemas(self, kinds: tuple[ResourceKind, ...], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            ResourceSchema(kinds)


class TestKind:
    @pytest.mark.parametrize("units_per", [0, -1, 1.5, "1000", None, True, 2**54])
    def test_units_per_is_a_positive_whole_number(self, units_per: object) -> None:
        with pytest.raises(ConfigError, match="units_per must be a whole number from 1"):
            ResourceKind("cpu", "cores", units_per)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["", None, 3])
    def test_the_name_is_text(self, name: object) -> None:
        with pytest.raises(ConfigError, match="name must be a non-empty string"):
            ResourceKind(name, "cores", 1000)  # type: ignore[arg-type]

    def test_a_device_is_counted_in_milli_cards(self) -> None:
        with pytest.raises(ConfigError, match="units_per of a device must be 1000, got 100"):
            ResourceKind("tpu", "cards", 100, is_device=True)
