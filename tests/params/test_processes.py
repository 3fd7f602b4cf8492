"""Results come in order whatever finishes first; a process that dies is told in one sentence."""

from functools import partial

import pytest
from process_work import die_at_three, leave_a_mark, refuse_three, slow_first

from scintiflow.errors import ScintiflowError
from scintiflow.processes import AHEAD, in_processes


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_keep_the_order_of_the_items(workers):
    assert list(in_processes(slow_first, range(6), workers, "test", preload="process_work")) == [0, 1, 4, 9, 16, 25]


def test_nothing_to_do_starts_nothing():
    assert list(in_processes(slow_first, [], 2, "test", preload="process_work")) == []


def test_a_dead_process_is_a_readable_error():
    with pytest.raises(ScintiflowError, match="the cohort: a process that did part of the work died"):
        list(in_processes(die_at_three, range(6), 2, "the cohort", preload="process_work"))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_process_refuses_is_refused_here_with_its_remedy(workers):
    with pytest.raises(ScintiflowError) as refusal:
        list(in_processes(refuse_three, range(6), workers, "the cohort", preload="process_work"))
    assert (refusal.value.where, refusal.value.reason, refusal.value.remedy) == (
        "3.dcm",
        "is damaged",
        "Send it again",
    )
    assert str(refusal.value) == "3.dcm: is damaged. Send it again."


def test_only_so_much_is_begun_before_it_is_asked_for(tmp_path):
    """Else results that nobody has taken yet would fill the memory."""
    results = in_processes(partial(leave_a_mark, tmp_path), range(50), 2, "test", preload="process_work")
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    begun = {int(path.name) for path in tmp_path.iterdir()}
    assert {0, 1, 2} <= begun <= set(range(2 + 2 * AHEAD)), "what follows was never handed to a process"
