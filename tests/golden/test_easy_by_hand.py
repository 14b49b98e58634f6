"""EASY backfilling worked by hand on one pool of 10 processors, the compiled rules driven directly.

The pictures show processors over time; `H` is the blocked task, which the rule protects.
"""

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from tests.builders import Desk, batch_job

MICROSECOND_S = 1e-6


def two_running(head: Task, *candidates: Task) -> Desk:
    """2 processors are free; `a` gives back 6 at 100 s, `b` another 2 at 200 s.

    10 |  free        |
     8 |  b  b  b  b  |  b  b  b  |
     6 |  a  a  a  a  |           |
       0             100         200 s
    """
    desk = Desk(
        Cluster.pool(10), [batch_job("a", 6, 100), batch_job("b", 2, 200), head, *candidates]
    )
    desk.run("a", "b")
    desk.submit(head.id, *(task.id for task in candidates))
    assert desk.free_cores == 2
    return desk


def test_the_shadow_time_is_the_first_release_after_which_the_head_fits() -> None:
    assert two_running(batch_job("H", 8, 50)).shadow_s("H") == 100
    assert two_running(batch_job("H", 9, 50)).shadow_s("H") == 200


def test_processors_beyond_the_heads_are_spare_at_the_shadow_time() -> None:
    assert two_running(batch_job("H", 8, 50)).spare_cores("H") == 0
    assert two_running(batch_job("H", 7, 50)).spare_cores("H") == 1
    assert two_running(batch_job("H", 9, 50)).spare_cores("H") == 1


def test_computing_the_shadow_changes_nothing_but_the_scratch() -> None:
    desk = two_running(batch_job("H", 8, 50))
    before = desk.snapshot()

    desk.shadow_s("H")

    assert desk.snapshot() == before


def test_the_shadow_time_is_absolute_and_does_not_depend_on_now() -> None:
    desk = two_running(batch_job("H", 8, 50))
    desk.at(60)

    assert desk.shadow_s("H") == 100


def test_a_task_that_overruns_its_estimate_is_expected_to_end_now() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 2, 1))
    desk.at(150)  # `a` said 100 s and is still running

    assert desk.shadow_s("H") == 150
    assert (
        desk.next_start("H", Backfill.EASY) is None
    )  # `c` would end after 150 s; nothing is spare


def test_a_head_that_fits_starts_itself() -> None:
    desk = two_running(batch_job("H", 2, 50), batch_job("c", 1, 1))

    assert desk.next_start("H", Backfill.EASY) == "H"
    assert desk.free_cores == 0


def test_without_backfilling_everyone_waits_for_the_head() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 1, 1))

    assert desk.next_start("H", Backfill.NONE) is None
    assert desk.free_cores == 2
    assert desk.pending == ["H", "c"]


def test_a_candidate_that_ends_exactly_at_the_shadow_time_starts() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 2, 100))

    assert desk.next_start("H", Backfill.EASY) == "c"
    assert desk.running == ["a", "c", "b"]
    assert desk.pending == ["H"]


def test_one_that_ends_a_microsecond_later_and_exceeds_the_spare_does_not() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 2, 100 + MICROSECOND_S))

    assert desk.next_start("H", Backfill.EASY) is None
    assert desk.free_cores == 2


def test_the_exact_end_counts_from_now() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("late", 2, 41), batch_job("just", 2, 40))
    desk.at(60)

    assert desk.next_start("H", Backfill.EASY) == "just"


def test_a_long_candidate_within_the_spare_starts() -> None:
    desk = two_running(batch_job("H", 7, 50), batch_job("long", 1, 10_000))

    assert desk.next_start("H", Backfill.EASY) == "long"


def test_the_spare_is_used_up() -> None:
    desk = two_running(
        batch_job("H", 7, 50), batch_job("long", 1, 10_000), batch_job("longer", 1, 20_000)
    )

    assert desk.next_start("H", Backfill.EASY) == "long"
    assert desk.shadow_s("H") == 100
    assert desk.spare_cores("H") == 0
    assert desk.next_start("H", Backfill.EASY) is None


def test_a_candidate_that_ends_before_the_shadow_leaves_the_spare_alone() -> None:
    desk = two_running(
        batch_job("H", 7, 50), batch_job("short", 1, 99), batch_job("long", 1, 10_000)
    )

    assert desk.next_start("H", Backfill.EASY) == "short"
    assert desk.next_start("H", Backfill.EASY) == "long"


def test_one_that_ends_exactly_at_the_shadow_uses_the_spare_up() -> None:
    # It ends at the instant of the release that makes room, behind it, so it is not counted.
    desk = two_running(
        batch_job("H", 7, 50), batch_job("short", 1, 100), batch_job("long", 1, 10_000)
    )

    assert desk.next_start("H", Backfill.EASY) == "short"
    assert desk.shadow_s("H") == 100
    assert desk.spare_cores("H") == 0
    assert desk.next_start("H", Backfill.EASY) is None


def test_a_candidate_larger_than_what_is_free_now_does_not_start() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 3, 1))

    assert desk.next_start("H", Backfill.EASY) is None


def test_candidates_are_asked_in_order_of_arrival() -> None:
    tasks = [
        batch_job("run", 6, 100),
        batch_job("H", 8, 50, submit_s=9),
        batch_job("second", 2, 10, submit_s=2),
        batch_job("first", 2, 90, submit_s=1),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.run("run")
    desk.submit("H", "second", "first")

    assert desk.pending == ["first", "second", "H"]
    assert desk.next_start("H", Backfill.EASY) == "first"
    assert desk.next_start("H", Backfill.EASY) == "second"


# Which releases at the shadow instant count as spare is a choice. The design's standard-rules
# figures (section 8: SJF 47.8, UNICEP 58.7 with EASY) come out only when the release that makes
# room is the last one counted, in order of (expected end, index); counting all of that instant
# gives 45.4 and 58.3.


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize(("processors", "starts"), [(1, "long"), (2, None)])
def test_further_releases_at_the_shadow_instant_are_not_spare(
    order: tuple[str, str], processors: int, starts: str | None
) -> None:
    # `a` alone makes room for H, with 6 - 5 = 1 to spare; `b` ends at the same instant.
    tasks = [
        batch_job("a", 4, 100),
        batch_job("b", 4, 100),
        batch_job("H", 5, 50),
        batch_job("long", processors, 10_000),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.run(*order)
    desk.submit("H", "long")

    assert desk.running == ["a", "b"]  # by expected end, then index, however they started
    assert desk.shadow_s("H") == 100
    assert desk.spare_cores("H") == 1
    assert desk.next_start("H", Backfill.EASY) == starts


def test_releases_at_one_instant_that_are_all_needed_all_count() -> None:
    tasks = [
        batch_job("a", 4, 100),
        batch_job("b", 4, 100),
        batch_job("H", 8, 50),
        batch_job("long", 2, 10_000),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.run("a", "b")
    desk.submit("H", "long")

    assert desk.shadow_s("H") == 100
    assert desk.spare_cores("H") == 2
    assert desk.next_start("H", Backfill.EASY) == "long"


def test_a_release_a_microsecond_after_the_shadow_is_not_spare() -> None:
    tasks = [
        batch_job("a", 4, 100),
        batch_job("b", 4, 100 + MICROSECOND_S),
        batch_job("H", 5, 50),
        batch_job("long", 2, 10_000),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.run("a", "b")
    desk.submit("H", "long")

    assert desk.shadow_s("H") == 100
    assert desk.spare_cores("H") == 1
    assert desk.next_start("H", Backfill.EASY) is None


def test_tasks_that_overran_give_back_in_order_of_their_estimates() -> None:
    # Both are expected to end now, at 30 s; `b` said 10 s and makes room alone, with 2 to spare.
    tasks = [
        batch_job("a", 3, 20),
        batch_job("b", 5, 10),
        batch_job("H", 5, 50),
        batch_job("long", 2, 10_000),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.run("a", "b")
    desk.submit("H", "long")
    desk.at(30)

    assert desk.shadow_s("H") == 30
    assert desk.spare_cores("H") == 2
    assert desk.next_start("H", Backfill.EASY) == "long"


def test_a_refused_candidate_leaves_no_trace() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 2, 101))
    before = desk.snapshot()

    assert desk.easy_candidate("H") is None
    assert desk.snapshot() == before
    assert desk.free_cores == 2
    assert desk.replicas_on == [2]


def test_undoing_a_choice_gives_everything_back() -> None:
    desk = two_running(batch_job("H", 8, 50), batch_job("c", 2, 101))
    before = desk.snapshot()

    assert desk.choose("c")
    assert desk.free_cores == 0
    desk.undo("c")

    assert desk.snapshot() == before


def test_a_whole_schedule() -> None:
    """Steps through a queue under FCFS with EASY.

    10 | a a a a a a | H H H H H |        t =   0: a (6 x 100 s) starts, H (8 x 50 s) is blocked,
     8 |             | H H H H H |                 s (3 x 100 s) ends at the shadow: starts,
     6 |             | H H H H H |                 l (1 x 900 s) is within the spare (2): starts,
     4 | s s s s s s | H H H H H |                 m (2 x 30 s) finds 0 free.
     1 | l l l l l l | l l l l l | l ...  t =  40: s ends early, m fits and ends by 100: starts.
       0            100         150 s     t = 100: H starts with 1 processor left beside l.
    """
    tasks = [
        batch_job("a", 6, 100),
        batch_job("H", 8, 50),
        batch_job("s", 3, 100),
        batch_job("l", 1, 900),
        batch_job("m", 2, 30),
    ]
    desk = Desk(Cluster.pool(10), tasks)
    desk.submit("a", "H", "s", "l", "m")

    assert desk.next_start("a", Backfill.EASY) == "a"
    assert desk.next_start("H", Backfill.EASY) == "s"
    assert desk.next_start("H", Backfill.EASY) == "l"
    assert desk.next_start("H", Backfill.EASY) is None
    assert desk.pending == ["H", "m"]
    assert desk.running == ["a", "s", "l"]

    desk.at(40)
    desk.finish("s")
    assert desk.next_start("H", Backfill.EASY) == "m"
    assert desk.running == ["m", "a", "l"]

    desk.at(70)
    desk.finish("m")
    assert desk.next_start("H", Backfill.EASY) is None

    desk.at(100)
    desk.finish("a")
    assert desk.next_start("H", Backfill.EASY) == "H"
    assert desk.free_cores == 1

    desk.at(150)
    desk.finish("H")
    desk.at(900)
    desk.finish("l")
    assert desk.free_cores == 10
    assert desk.running == []
    assert desk.pending == []


def test_the_fixed_shadow_is_strict() -> None:
    exact = two_running(batch_job("H", 8, 50), batch_job("c", 2, 100))
    earlier = two_running(batch_job("H", 8, 50), batch_job("c", 2, 100 - MICROSECOND_S))

    assert exact.fixed_shadow_candidate("H", 100) is None
    assert exact.free_cores == 2
    assert earlier.fixed_shadow_candidate("H", 100) == "c"
    assert earlier.free_cores == 0


def test_spare_processors_do_not_count_under_the_fixed_shadow() -> None:
    desk = two_running(batch_job("H", 7, 50), batch_job("long", 1, 10_000))

    assert desk.fixed_shadow_candidate("H", 100) is None


def test_the_fixed_shadow_stays_when_the_machine_empties() -> None:
    # `a` ended at 10 s; the shadow of 100 s, taken when H blocked, still decides who may start.
    desk = two_running(batch_job("H", 9, 50), batch_job("c", 8, 89))
    desk.at(10)
    desk.finish("a")

    assert desk.fixed_shadow_candidate("H", 100) == "c"


def test_the_blocked_task_is_no_candidate_under_the_fixed_shadow() -> None:
    desk = two_running(batch_job("H", 2, 50))

    assert desk.fixed_shadow_candidate("H", 100) is None
