import runpy
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "seed_listing.py"


def test_the_listing_prints_what_the_formulas_give(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PATH), run_name="__main__")

    assert capsys.readouterr().out.splitlines() == [
        "load C/T:      R1 0.4, R2 0.4, R3 0.375",
        "least loaded:  R3",
        "reservation:   R1 30, R2 60, R3 50",
        "priority:      T1 6, T2 4, T3 8",
        "held at 2 s:   {'R2': 'T4'}",
        # By priority T3, T1, T2, each on the least loaded resource that has room.
        "T1 started at 1 s on R1",
        "T2 started at 1 s on R2",
        "T3 started at 1 s on R3",
        "T4 started at 60 s on R2",
    ]
