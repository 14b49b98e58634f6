import re

import pytest

from lepton_rl.core import errors
from lepton_rl.core.errors import (
    ArtifactError,
    ConfigError,
    InfeasibleTaskError,
    InputFileError,
    LeptonError,
    StateError,
    WorkloadError,
)


def drawn_tree() -> dict[str, str]:
    """Class -> parent, as the module's docstring draws them."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"([ │├└─]*)(\w+Error)\b.*", line)
        if not match:
            continue
        depth, name = len(match[1]), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        parents[name] = above[-1][1] if above else ""
        above.append((depth, name))
    return parents


def real_tree() -> dict[str, str]:
    return {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, LeptonError)), "")
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }


def test_the_docstring_draws_the_real_tree() -> None:
    assert drawn_tree() == real_tree()
    assert drawn_tree()["LeptonError"] == ""


def test_every_error_is_exported() -> None:
    assert sorted(errors.__all__) == sorted(real_tree())


def test_the_docstring_states_the_exit_statuses() -> None:
    stated = dict(re.findall(r"(\w+Error)\b.*\(exit status (\d)\)", errors.__doc__ or ""))

    assert stated.keys() >= {"ConfigError", "InputFileError", "WorkloadError"}
    for name, status in stated.items():
        assert getattr(errors, name).exit_status == int(status), name


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigError, ValueError),
        (InputFileError, ValueError),
        (WorkloadError, ValueError),
        (InfeasibleTaskError, ValueError),
        (ArtifactError, ValueError),
        (StateError, RuntimeError),
    ],
)
def test_errors_are_also_the_builtin_kind_callers_expect(
    kind: type[LeptonError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin, match="why"):
        raise kind("why")
