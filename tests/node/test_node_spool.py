"""The spool keeps its promise whenever the program is killed: nothing lost, nothing sent twice."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from scintiflow.errors import ScintiflowError
from scintiflow.node.counters import Counters
from scintiflow.node.delivery import Answer
from scintiflow.node.restoration import MOST_STARTS, Restoration
from scintiflow.node.sending import Sending
from scintiflow.node.spool import RECEIVED, REFUSED, RESTORED, SENT, Refusal, Spool, key_of
from scintiflow.params import NodeParams

UID, OBJECT = "1.2.3.4", b"header and pixels"


class Killed(BaseException):
    """SIGKILL: nothing that would clean up may run any more."""


class Lifeline:
    """Ends the program at its n-th touch of the disk or the network, and lets nothing through afterwards."""

    def __init__(self, monkeypatch) -> None:
        self.left = -1
        for owner, name in ((Path, "replace"), (Path, "unlink"), (os, "fsync"), (Path, "write_bytes")):
            monkeypatch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def touch(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def _guarded(self, function):
        def guarded(*arguments, **named):
            self.touch()
            return function(*arguments, **named)

        return guarded


class Archive:
    """A peer that remembers everything it was ever given; `can_say` if it can be asked."""

    def __init__(self, lifeline: Lifeline, can_say: bool) -> None:
        self.lifeline, self.can_say, self.given = lifeline, can_say, []

    def send(self, path: Path) -> Answer:
        self.lifeline.touch()
        self.given.append(path.read_bytes())
        self.lifeline.touch()  # the object has arrived and the node does not live to hear it
        return Answer.STORED

    def has(self, path: Path) -> bool | None:
        self.lifeline.touch()
        return path.read_bytes() in self.given if self.can_say else None


def restore(source: Path, target: Path) -> tuple[str, ...]:
    from scintiflow.files import whole_file

    with whole_file(target) as partial:
        partial.write_bytes(source.read_bytes()[::-1])
    return ()


@pytest.fixture(autouse=True)
def plain_objects(monkeypatch):
    """The objects of these tests are a few bytes, no scans."""
    import numpy as np

    class Bytes:
        def __init__(self, path: Path) -> None:
            self.counts = np.frombuffer(path.read_bytes(), np.uint8)

    monkeypatch.setattr("scintiflow.node.restoration.read_scan", Bytes)


@pytest.fixture
def lifeline(monkeypatch):
    return Lifeline(monkeypatch)


def params(**changes) -> NodeParams:
    return NodeParams(**{"retry_after_seconds": 0.001, "retry_at_most_seconds": 0.001, **changes})


def whole_life(folder: Path, archive: Archive, acknowledged: bool) -> bool:
    """Receive, restore, send; returns whether the camera was told that the object is safe."""
    with Spool.opened(folder) as spool:
        if not acknowledged:
            spool.receive(UID, OBJECT, OBJECT)
            acknowledged = True
        counters = Counters()
        restoration, sending = Restoration(spool, restore, counters), Sending(spool, archive, params(), counters)
        while restoration.step() or sending.step():
            pass
    return acknowledged


@pytest.mark.parametrize("can_say", [True, False])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_comes_twice(tmp_path, lifeline, can_say):
    deaths = 0
    while True:
        folder, archive = tmp_path / f"{deaths}", Archive(lifeline, can_say)
        folder.mkdir()
        acknowledged, lifeline.left = False, deaths
        try:
            acknowledged = whole_life(folder, archive, acknowledged)
        except Killed:
            # the camera knows that its object is safe, or sends it again
            acknowledged = (folder / RECEIVED / f"{key_of(UID, OBJECT)}.dcm").exists() or bool(archive.given)
        finished, lifeline.left = lifeline.left > 0, -1
        whole_life(folder, archive, acknowledged)

        assert set(archive.given) == {OBJECT[::-1]}
        assert len(archive.given) <= (1 if can_say else 2)  # and then the same bytes
        left = [path.name for state in (RECEIVED, RESTORED, "begun") for path in (folder / state).iterdir()]
        assert left == []
        assert len(list((folder / SENT).iterdir())) == 1
        if finished:
            break
        deaths += 1
    assert deaths > 20  # the test did walk through a life


def test_killed_while_it_is_refused_an_object_stays_whole(tmp_path, lifeline):
    key, deaths = key_of(UID, OBJECT), 0
    while True:
        folder = tmp_path / f"{deaths}"
        folder.mkdir()
        lifeline.left = -1
        with Spool.opened(folder) as spool:
            spool.receive(UID, OBJECT, OBJECT)
            lifeline.left = deaths
            try:
                spool.refuse(key, Refusal("CODE", "sentence", "remedy"))
                finished = True
            except Killed:
                finished = False
            lifeline.left = -1
        with Spool.opened(folder) as spool:
            places = [state for state in (RECEIVED, REFUSED) if spool.path(state, key).exists()]
            assert len(places) == 1
            assert spool.path(places[0], key).read_bytes() == OBJECT
            assert places == ([REFUSED] if (folder / REFUSED / f"{key}.json").exists() else [RECEIVED])
        if finished:
            break
        deaths += 1
    assert deaths > 4


def test_the_same_object_is_one_item_and_a_sent_one_stays_sent(tmp_path):
    with Spool.opened(tmp_path) as spool:
        key = spool.receive(UID, OBJECT, OBJECT)
        assert spool.receive(UID, OBJECT, OBJECT) is None
        spool.settle(key, outcome="acknowledged")
        assert spool.receive(UID, OBJECT, OBJECT) is None
        assert spool.to_restore() == spool.to_send() == []
    assert UID not in "".join(str(path) for path in tmp_path.rglob("*"))


def test_what_was_refused_is_tried_again_when_it_comes_again(tmp_path):
    with Spool.opened(tmp_path) as spool:
        key = spool.receive(UID, OBJECT, OBJECT)
        spool.refuse(key, Refusal("CODE", "sentence", "remedy"))
        assert spool.to_restore() == []
        assert spool.receive(UID, OBJECT, OBJECT) == key
        assert spool.to_restore() == [key]
        assert list((tmp_path / REFUSED).iterdir()) == []


def test_one_uid_with_other_counts_is_refused_and_with_other_bytes_is_no_second_scan(tmp_path, monkeypatch):
    import numpy as np

    class Counts:  # what stands before the colon is how it is encoded
        def __init__(self, path: Path) -> None:
            self.counts = np.frombuffer(path.read_bytes().split(b":")[1], np.uint8)

    monkeypatch.setattr("scintiflow.node.restoration.read_scan", Counts)
    counters = Counters()
    with Spool.opened(tmp_path) as spool:
        restoration = Restoration(spool, restore, counters)
        keys = [spool.receive(UID, content, content) for content in (b"plain:12", b"packed:12", b"plain:34")]
        while restoration.step():
            pass
        assert spool.to_send() == keys[:1]
        assert "UID_COLLISION" in (tmp_path / REFUSED / f"{keys[2]}.json").read_text()
        assert not spool.path(REFUSED, keys[1]).exists()


def test_an_object_that_ends_the_program_is_set_aside(tmp_path, lifeline):
    def fatal(source: Path, target: Path) -> None:
        raise Killed

    with Spool.opened(tmp_path) as spool:
        key = spool.receive(UID, OBJECT, OBJECT)
    for _ in range(MOST_STARTS):
        with Spool.opened(tmp_path) as spool, pytest.raises(Killed):
            Restoration(spool, fatal, Counters()).step()
    with Spool.opened(tmp_path) as spool:
        assert Restoration(spool, fatal, Counters()).step()
        assert spool.to_restore() == []
        assert spool.path(REFUSED, key).exists()


def test_a_full_disk_is_not_held_against_the_object(tmp_path):
    def full(source: Path, target: Path) -> tuple[str, ...]:
        raise OSError(28, "No space left on device")

    with Spool.opened(tmp_path) as spool:
        key = spool.receive(UID, OBJECT, OBJECT)
        for _ in range(MOST_STARTS + 2):
            with pytest.raises(OSError, match="No space"):
                Restoration(spool, full, Counters()).step()
        assert Restoration(spool, restore, Counters()).step()
        assert spool.to_send() == [key]


def test_what_the_peer_declines_gives_way_and_is_set_aside(tmp_path, lifeline):
    class Choosy(Archive):
        def send(self, path: Path) -> Answer:
            if b"bad" in path.read_bytes()[::-1]:
                return Answer.DECLINED
            return super().send(path)

    archive = Choosy(lifeline, can_say=False)
    with Spool.opened(tmp_path) as spool:
        bad, good = spool.receive("1.1", b"bad", b"bad"), spool.receive("1.2", b"good", b"good")
        restoration = Restoration(spool, restore, Counters())
        sending = Sending(spool, archive, params(largest_tries=3), Counters())
        while restoration.step():
            pass
        import time

        while spool.to_send():
            sending.step()
            time.sleep(0.002)
        assert archive.given == [b"doog"]
        assert spool.path(SENT, good).exists()
        assert spool.path(REFUSED, bad).exists()


def test_a_peer_that_stays_away_is_asked_at_the_longest_pause_for_ever(tmp_path, monkeypatch):
    """And after it answered once, the pauses begin anew."""
    now = [0.0]
    monkeypatch.setattr("scintiflow.node.sending.time.monotonic", lambda: now[0])
    answers = [Answer.AWAY] * 60 + [Answer.STORED] + [Answer.AWAY] * 2
    asked = []

    class Away:
        def send(self, path: Path) -> Answer:
            asked.append(now[0])
            return answers[len(asked) - 1]

        def has(self, path: Path) -> None:
            return None

    patient = params(retry_after_seconds=2, retry_factor=1e6, retry_at_most_seconds=300)  # 1e6 ** 60 is no float
    with Spool.opened(tmp_path) as spool:
        for number in range(2):
            spool.receive(f"1.{number}", b"%d" % number, b"%d" % number)
        while Restoration(spool, restore, Counters()).step():
            pass
        sending = Sending(spool, Away(), patient, Counters())
        while len(asked) < len(answers):
            sending.step()
            now[0] += 1
    pauses = [after - before for before, after in pairwise(asked)]
    assert pauses == [2, *[300] * 59, 1, 2]


def test_two_nodes_do_not_share_a_spool(tmp_path):
    with Spool.opened(tmp_path), pytest.raises(ScintiflowError, match="another node"), Spool.opened(tmp_path):
        pass
