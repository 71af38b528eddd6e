"""Peers that come and go, and what others are told of it."""

from scaler.core.events import CutOff, Note, PeerJoined, PeerLost, Received, Send, WatchersChanged
from scaler.ids import ObjectId
from scaler.protocol import (
    ClusterReady,
    ClusterStatistics,
    Confirmed,
    Goodbye,
    KnownTags,
    ObjectsMade,
    Output,
    OutputPiece,
    Resumed,
    Running,
    ShutdownScheduler,
    Watched,
    WorkerDied,
    WorkersReady,
)
from tests.unit.core.examples import (
    ALICE,
    BOB,
    OPERATOR,
    A,
    Checked,
    X,
    Y,
    client,
    cluster,
    cut_off,
    gone,
    maps,
    opens,
    ready,
    run_id,
    said,
)


def joined(name: str, slots: int = 2) -> Note:
    fields = (("cluster", name), ("host", "host"), ("pid", 100), ("slots", slots), ("full_slots", 0))
    return Note("info", "a worker cluster joined", fields)


def test_a_client_hears_which_tags_there_are_and_whether_anybody_works(empty: Checked):
    assert empty.handle([client(ALICE)]) == [Send(ALICE, KnownTags(None)), Send(ALICE, WorkersReady(ready=False))]
    assert empty.handle(cluster(X, tags=("gpu",))) == [
        Send(ALICE, KnownTags(("gpu",))),
        joined("x"),
        Send(ALICE, WorkersReady(ready=True)),
    ]
    assert empty.handle([client(OPERATOR, "operator")]) == [
        Send(OPERATOR, KnownTags(("gpu",))),
        Send(OPERATOR, WorkersReady(ready=True)),
    ]


def test_all_clients_hear_when_tags_are_new_and_only_then(core: Checked):
    assert core.handle(cluster(Y, tags=("a", "b"))) == [
        Send(ALICE, KnownTags(("a", "b"))),
        Send(BOB, KnownTags(("a", "b"))),
        joined("y"),
    ]
    assert core.handle([ready(Y, tags=("b",))]) == []


def test_all_clients_hear_when_the_last_worker_is_gone(core: Checked):
    assert core.handle([PeerLost(X, "cut")]) == [
        gone(X, 0),
        Send(ALICE, WorkersReady(ready=False)),
        Send(BOB, WorkersReady(ready=False)),
    ]


def test_a_cluster_that_has_no_slots_yet_is_no_worker(empty: Checked):
    empty.handle([client(ALICE)])
    assert said(empty.handle(cluster(X, slots=0))) == [Send(ALICE, KnownTags(()))]
    assert empty.handle([ready(X, slots=1)]) == [Send(ALICE, WorkersReady(ready=True))]


def test_the_log_tells_when_all_slots_of_a_cluster_are_up_and_when_none_is(empty: Checked):
    def has(slots: int, full_slots: int = 4) -> list[Note]:
        message = ClusterReady("x", "host", 100, slots, slots, full_slots=full_slots)
        return [one for one in empty.handle([Received(X, message)]) if isinstance(one, Note)]

    empty.handle([PeerJoined(X, "worker")])
    fields = (("cluster", "x"), ("host", "host"), ("pid", 100), ("slots", 0), ("full_slots", 4))
    up = Note("info", "all slots of a worker cluster are up", (("cluster", "x"), ("slots", 4)))
    left = Note("warning", "no slot of a worker cluster is left", (("cluster", "x"), ("full_slots", 4)))
    assert has(0) == [Note("info", "a worker cluster joined", fields)]
    assert [has(1), has(3), has(4), has(3), has(4)] == [[], [], [up], [], []]
    assert [has(0), has(2), has(5)] == [[left], [], [Note("info", up.text, (("cluster", "x"), ("slots", 5)))]]
    assert has(0, full_slots=0) == []


def test_a_cluster_with_too_many_tags_is_cut_off(core: Checked):
    assert cut_off(core.handle([ready(X, tags=tuple(map(str, range(1025))))])) == [X]


def test_a_cluster_whose_tags_would_be_too_many_beside_those_of_others_is_cut_off(core: Checked):
    core.handle([ready(X, tags=tuple(f"{n:0256}" for n in range(1024))), *cluster(Y)])
    commands = core.handle([ready(Y, tags=("one more",))])
    assert cut_off(commands) == [Y]
    assert not any(isinstance(command, Send) for command in commands)


def test_clusters_hear_whether_anybody_watches(core: Checked):
    assert core.handle([WatchersChanged(watched=True)]) == [Send(X, Watched(watched=True))]
    assert Send(Y, Watched(watched=True)) in core.handle(cluster(Y))
    assert core.handle([WatchersChanged(watched=False)]) == [
        Send(X, Watched(watched=False)),
        Send(Y, Watched(watched=False)),
    ]


def test_what_a_cluster_tells_of_itself_is_kept_for_those_who_watch(core: Checked):
    statistics = ClusterStatistics(50.0, 1 << 20, 3, 2)
    assert core.handle([Received(X, statistics)]) == []
    assert core.managers.workers.clusters[X].statistics is statistics
    core.handle([WatchersChanged(watched=False)])
    assert core.managers.workers.clusters[X].statistics is None


def test_a_worker_that_died_is_a_line_in_the_log(core: Checked):
    fields = (("cluster", "x"), ("worker", 3), ("exit_code", -9), ("reason", "killed"))
    assert core.handle([Received(X, WorkerDied(3, -9, "killed"))]) == [Note("warning", "a worker died", fields)]


def test_a_peer_that_was_let_out_is_not_listened_to(core: Checked):
    late = [
        Received(ALICE, Goodbye("again")),
        Received(ALICE, ObjectsMade(((ObjectId(ALICE, 1), 10),))),
        opens(A),
        PeerLost(ALICE, "goodbye"),
    ]
    assert core.handle([Received(ALICE, Goodbye("done")), *late]) == []
    assert len(core.managers.objects) == 0
    assert core.handle([PeerLost(ALICE)]) == []


def test_a_cluster_may_not_speak_like_a_client(core: Checked):
    core.handle(maps(A, 1))
    commands = core.handle([Received(X, ShutdownScheduler())])
    assert commands[0] == CutOff(X, f"a ShutdownScheduler is not for peer {X:016x} to send")


def test_a_client_may_not_speak_like_a_cluster(core: Checked):
    assert cut_off(core.handle([Received(ALICE, Running(())), Received(BOB, Confirmed(run_id(1), ()))])) == [ALICE, BOB]


def test_a_client_says_when_it_has_resumed(core: Checked):
    assert core.handle([Received(ALICE, Resumed())]) == []
    assert core.managers.clients.clients[ALICE].has_resumed


def test_what_tasks_print_is_passed_to_their_client_and_to_nobody_else():
    checked = Checked()
    checked.handle([client(ALICE), client(BOB), *cluster(X)])
    output = Output(ALICE, (OutputPiece(1, 0, "f", "host", is_error=False),), 3)
    assert checked.handle([Received(X, output, (b"text",))]) == [Send(ALICE, output, (b"text",))]
    assert checked.handle([Received(X, Output(X, ())), Received(X, Output(Y, ()))]) == []
