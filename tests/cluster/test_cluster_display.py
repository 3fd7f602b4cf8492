"""What the board says of a stage follows from events and edges, not from the order in which stages are listed."""

import json

from rich.console import Console

from scintiflow.cluster.display import DONE, RUNNING, UNCHANGED, WAITING, StageBoard
from scintiflow.stages.graph import BY_NAME, edges, upstream_of


def board_after(tmp_path, *events: dict) -> StageBoard:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    board = StageBoard(path, Console(file=(tmp_path / "out.txt").open("w")))
    board.update()
    return board


def test_a_stage_that_waits_for_nobody_says_nothing_of_the_others(tmp_path):
    board = board_after(tmp_path, {"event": "started", "stage": "fetch_champion"})
    assert board.states["fetch_champion"] == RUNNING
    assert {state for name, state in board.states.items() if name != "fetch_champion"} == {WAITING}


def test_what_a_started_stage_depends_on_was_reused(tmp_path):
    board = board_after(
        tmp_path,
        {"event": "started", "stage": "ingest"},
        {"event": "finished", "stage": "ingest", "seconds": 2.0},
        {"event": "started", "stage": "train_cascade"},
    )
    assert board.states["ingest"] == DONE
    assert board.states["distil_priors"] == board.states["adapt_sam"] == UNCHANGED
    assert board.states["evaluate"] == board.states["fetch_champion"] == WAITING
    board.succeed()
    assert board.states["evaluate"] == UNCHANGED


def test_upstream_is_the_closure_of_the_edges():
    for stage in BY_NAME:
        direct = {before for before, after in edges() if after == stage}
        assert direct <= upstream_of(stage)
        for before in direct:
            assert upstream_of(before) <= upstream_of(stage)
    assert upstream_of("ingest") == set()
