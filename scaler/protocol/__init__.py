"""Every message of the project, by direction, and the codec: the only words that processes exchange.

A message's docstring says when it is sent, by whom, and what answers it. Layouts are arrays; new fields go to the end
and have defaults.
"""

from scaler.protocol.client_messages import (
    AppendTasks,
    CancelTasks,
    ClearClient,
    CloseBatch,
    DefineFunction,
    ExplainTask,
    Explanation,
    InputKnown,
    KnownTags,
    NeedFunction,
    NeedInputs,
    NeedTasks,
    OpenBatch,
    QueueFull,
    Results,
    Resume,
    Resumed,
    ShutdownAnswer,
    ShutdownScheduler,
    Taken,
    TasksBegan,
    TasksFailed,
    TasksWait,
    WorkersReady,
)
from scaler.protocol.cluster_messages import (
    CancelRun,
    ClusterReady,
    ClusterStatistics,
    Confirmed,
    Delivered,
    Drain,
    Forget,
    Held,
    Holding,
    NeedResults,
    PrefetchObjects,
    Retract,
    RetractAnswered,
    Returned,
    Running,
    RunSpan,
    SpanResult,
    Watched,
    WorkerDied,
)
from scaler.protocol.connection import (
    PROTOCOL_VERSION,
    Goodbye,
    Heartbeat,
    Hello,
    Rejected,
    ResendFrom,
    Versions,
)
from scaler.protocol.object_messages import (
    Door,
    FetchChunks,
    FreeObjects,
    LocateObject,
    ObjectChunk,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    ObjectsMade,
    PeerPass,
    ReferencesReleased,
    ReferencesTaken,
)
from scaler.protocol.options import BatchOptions, Cause, Failure, ReturnReason
from scaler.protocol.output_messages import Output, OutputPiece
from scaler.protocol.work_messages import (
    Acknowledged,
    DropWork,
    ListWorks,
    OpenWork,
    WorkBatch,
    WorkBatches,
    WorkDropped,
    WorkOpened,
    WorksListed,
    WorkSummary,
)

FromClient = (
    DefineFunction
    | OpenBatch
    | AppendTasks
    | CloseBatch
    | InputKnown
    | Resume
    | Resumed
    | Taken
    | CancelTasks
    | ClearClient
    | ShutdownScheduler
    | ExplainTask
    | OpenWork
    | ListWorks
    | DropWork
    | Goodbye
    | ObjectsMade
    | ObjectsDropped
    | ReferencesTaken
    | ReferencesReleased
    | LocateObject
    | FetchChunks
    | ObjectChunk
)
ToClient = (
    Results
    | TasksFailed
    | NeedFunction
    | NeedInputs
    | NeedTasks
    | KnownTags
    | TasksBegan
    | ShutdownAnswer
    | Explanation
    | WorkersReady
    | TasksWait
    | QueueFull
    | WorkOpened
    | WorkBatches
    | Acknowledged
    | WorksListed
    | WorkDropped
    | Output
    | Goodbye
    | ObjectLocated
    | ObjectChunk
    | FetchChunks
    | FreeObjects
    | ObjectsLost
)

# These wrap what clients say and hear, which has to be there before.
from scaler.protocol.child_messages import (  # noqa: E402  # see above
    ChildLinked,
    ChildSays,
    ParkParent,
    TellChild,
)

FromCluster = (
    ClusterReady
    | SpanResult
    | Running
    | Returned
    | RetractAnswered
    | Confirmed
    | Holding
    | ClusterStatistics
    | WorkerDied
    | Output
    | ChildSays
    | NeedFunction
    | Goodbye
    | ObjectsMade
    | ObjectsHeld
    | ObjectsDropped
    | ReferencesTaken
    | ReferencesReleased
    | LocateObject
    | FetchChunks
    | ObjectChunk
)
ToCluster = (
    RunSpan
    | Retract
    | CancelRun
    | Delivered
    | Forget
    | NeedResults
    | PrefetchObjects
    | Drain
    | Watched
    | TellChild
    | ParkParent
    | DefineFunction
    | Goodbye
    | ObjectLocated
    | ObjectChunk
    | FetchChunks
    | FreeObjects
    | ObjectsLost
    | PeerPass
)
ToChild = ToClient | ChildLinked
#: clusters among themselves: whoever dials asks
FromPeer = FetchChunks
ToPeer = ObjectChunk | ObjectsDropped
ToScheduler = FromClient | FromCluster
FromScheduler = ToClient | ToCluster
Message = ToScheduler | FromScheduler

__all__ = [
    "PROTOCOL_VERSION",
    "Acknowledged",
    "AppendTasks",
    "BatchOptions",
    "CancelRun",
    "CancelTasks",
    "Cause",
    "ChildLinked",
    "ChildSays",
    "ClearClient",
    "CloseBatch",
    "ClusterReady",
    "ClusterStatistics",
    "Confirmed",
    "DefineFunction",
    "Delivered",
    "Door",
    "Drain",
    "DropWork",
    "ExplainTask",
    "Explanation",
    "Failure",
    "FetchChunks",
    "Forget",
    "FreeObjects",
    "FromClient",
    "FromCluster",
    "FromPeer",
    "FromScheduler",
    "Goodbye",
    "Heartbeat",
    "Held",
    "Hello",
    "Holding",
    "InputKnown",
    "KnownTags",
    "ListWorks",
    "LocateObject",
    "Message",
    "NeedFunction",
    "NeedInputs",
    "NeedResults",
    "NeedTasks",
    "ObjectChunk",
    "ObjectLocated",
    "ObjectsDropped",
    "ObjectsHeld",
    "ObjectsLost",
    "ObjectsMade",
    "OpenBatch",
    "OpenWork",
    "Output",
    "OutputPiece",
    "ParkParent",
    "PeerPass",
    "PrefetchObjects",
    "QueueFull",
    "ReferencesReleased",
    "ReferencesTaken",
    "Rejected",
    "ResendFrom",
    "Results",
    "Resume",
    "Resumed",
    "Retract",
    "RetractAnswered",
    "ReturnReason",
    "Returned",
    "RunSpan",
    "Running",
    "ShutdownAnswer",
    "ShutdownScheduler",
    "SpanResult",
    "Taken",
    "TasksBegan",
    "TasksFailed",
    "TasksWait",
    "TellChild",
    "ToChild",
    "ToClient",
    "ToCluster",
    "ToPeer",
    "ToScheduler",
    "Versions",
    "Watched",
    "WorkBatch",
    "WorkBatches",
    "WorkDropped",
    "WorkOpened",
    "WorkSummary",
    "WorkerDied",
    "WorkersReady",
    "WorksListed",
]
