"""One filled-in example of every message, for whoever tests what happens to messages."""

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, ObjectId, Range, RunId, TaskId
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    CancelRun,
    CancelTasks,
    Cause,
    ChildLinked,
    ChildSays,
    ClearClient,
    CloseBatch,
    ClusterReady,
    ClusterStatistics,
    Confirmed,
    DefineFunction,
    Delivered,
    Door,
    Drain,
    ExplainTask,
    Explanation,
    Failure,
    FetchChunks,
    Forget,
    FreeObjects,
    Goodbye,
    Heartbeat,
    Held,
    Hello,
    Holding,
    InputKnown,
    KnownTags,
    LocateObject,
    NeedFunction,
    NeedInputs,
    NeedResults,
    NeedTasks,
    ObjectChunk,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    ObjectsMade,
    OpenBatch,
    Output,
    OutputPiece,
    ParkParent,
    PeerPass,
    PrefetchObjects,
    QueueFull,
    ReferencesReleased,
    ReferencesTaken,
    Rejected,
    ResendFrom,
    Results,
    Resume,
    Resumed,
    Retract,
    RetractAnswered,
    Returned,
    ReturnReason,
    Running,
    RunSpan,
    ShutdownAnswer,
    ShutdownScheduler,
    SpanResult,
    Taken,
    TasksBegan,
    TasksFailed,
    TasksWait,
    TellChild,
    Versions,
    Watched,
    WorkerDied,
    WorkersReady,
)
from scaler.protocol.codec import Sendable

OWNER = Incarnation(2**64 - 1)
BATCH = BatchId(OWNER, 7)
TASK = TaskId(BATCH, 3)
OBJECT = ObjectId(OWNER, 2)
RUN = RunId(Epoch(2**63 + 5), 12)
FUNCTION = FunctionId(bytes(range(16)))
RANGES = (Range(0, 4), Range(10, 2**40))
VERSIONS = Versions(1, "3.11", 5, "3.11.9", "0.1.0")
OPTIONS = BatchOptions(
    name="f",
    tag="gpu",
    resources=(("gpu", 2.0),),
    priority=-3,
    retries=2,
    retry_delay_s=0.5,
    timeout_s=9.5,
    parent=TASK,
    everywhere=True,
    durable="nightly",
    quiet=True,
    depth=3,
    root=OWNER,
)
FAILURE = Failure(Cause.DIED, "it died", "host/1", -9, "last words", "a stack", 3)

OUTPUT = Output(OWNER, (OutputPiece(7, 3, "f", "host/1", is_error=True),), 5)

CONNECTION: list[Sendable] = [
    Hello("client", OWNER, Incarnation(5), 17, 2, VERSIONS, "notebook", resumed=True, secret=b"s" * 32),
    Heartbeat(99, 60.0),
    ResendFrom(4),
    Rejected("version", "a table", VERSIONS),
]
ANY: list[Sendable] = [
    Goodbye("bye"),
    FetchChunks(OBJECT, 0, 8, insists=True),
    ObjectChunk(OBJECT, 1, 2**33),
]
TO_SCHEDULER: list[Sendable] = [
    ObjectsMade(((OBJECT, 2**33),)),
    ObjectsDropped((OBJECT,)),
    ReferencesTaken((OBJECT,)),
    ReferencesReleased((OBJECT, OBJECT)),
    LocateObject(OBJECT),
]
FROM_SCHEDULER: list[Sendable] = [
    ObjectLocated(OBJECT, 5, (Door("tcp://a:1", "key"),)),
    FreeObjects((OBJECT,)),
    ObjectsLost((OBJECT,)),
]
FROM_CLIENT: list[Sendable] = [
    *ANY,
    *TO_SCHEDULER,
    DefineFunction(FUNCTION, 1000),
    OpenBatch(BATCH, FUNCTION, OPTIONS),
    AppendTasks(BATCH, 0, 2, 1),
    InputKnown(TASK, 1),
    CloseBatch(BATCH, 2),
    Resume(BATCH, FUNCTION, OPTIONS, None, RANGES),
    Resumed(),
    Taken(BATCH, RANGES),
    CancelTasks(BATCH, RANGES, unless_begun=True),
    ClearClient(),
    ShutdownScheduler(),
    ExplainTask(TASK),
]
FROM_CLUSTER: list[Sendable] = [
    *ANY,
    *TO_SCHEDULER,
    ObjectsHeld((OBJECT,)),
    NeedFunction(FUNCTION),
    NeedFunction(FUNCTION, FUNCTION),
    ClusterReady("c", "host", 99, 4, 8, ("gpu",), (("gpu", 2.0),), 3600.0, 8, 4000, "key"),
    SpanResult(RUN, 0, 4, 100, "host/1", ((RUN, 5),)),
    Running(((RUN, 5), (RUN, 6))),
    Returned(RUN, RANGES, ReturnReason.EXPIRED),
    RetractAnswered(RUN, 0, 4),
    Confirmed(RUN, RANGES),
    Holding((Held(BATCH, RUN, RANGES, (4, 5), ()),)),
    ClusterStatistics(99.5, 2**30, 4, 2, ((0, 77, 50.0, 2**20),)),
    WorkerDied(3, -11, "last words"),
    OUTPUT,
    ChildSays(OWNER, RUN, 3, OpenBatch(BATCH, FUNCTION, OPTIONS)),
]
TO_CLIENT: list[Sendable] = [
    *ANY,
    *FROM_SCHEDULER,
    Results(BATCH, 0, 4, 100, "host/1", 2),
    TasksFailed(BATCH, RANGES, FAILURE),
    NeedFunction(FUNCTION),
    NeedInputs((TASK,)),
    NeedTasks(BATCH, 0, 4),
    KnownTags(("gpu", "cpu")),
    TasksBegan(BATCH, RANGES),
    ShutdownAnswer("protected"),
    Explanation(TASK, "no worker"),
    WorkersReady(ready=True),
    TasksWait(BATCH, "nobody offers gpu=4"),
    QueueFull(full=True),
    OUTPUT,
]
TO_CLUSTER: list[Sendable] = [
    *ANY,
    *FROM_SCHEDULER,
    RunSpan(RUN, BATCH, 0, 4, FUNCTION, OPTIONS, 1),
    Retract(RUN, 0, 4),
    CancelRun(RUN, RANGES),
    Delivered(((RUN, RANGES),)),
    Forget(RUN),
    NeedResults(RUN, RANGES),
    PrefetchObjects(),
    Drain(30.0),
    Watched(watched=True),
    DefineFunction(FUNCTION, 1000),
    TellChild(OWNER, Results(BATCH, 0, 4, 100, "host/1", 2)),
    ParkParent(OWNER, parked=True),
    PeerPass("public", "secret"),
]
BY_DIRECTION: dict[str, list[Sendable]] = {
    "greeting": CONNECTION[:1],
    "client": [*CONNECTION[:3], *FROM_CLIENT],
    "operator": [*CONNECTION[:3], *FROM_CLIENT],
    "worker": [*CONNECTION[:3], *FROM_CLUSTER],
    "to-client": [*CONNECTION, *TO_CLIENT],
    "to-worker": [*CONNECTION, *TO_CLUSTER],
    "child": FROM_CLIENT,
    "to-child": [*TO_CLIENT, ChildLinked(Epoch(2**63 + 5), 2)],
    "peer": [FetchChunks(OBJECT, 0, 8)],
    "to-peer": [ObjectChunk(OBJECT, 1, 2**33), ObjectsDropped((OBJECT,))],
}
EVERY: list[Sendable] = list(
    {type(message): message for messages in BY_DIRECTION.values() for message in messages}.values()
)
