"""The life of a task as one table: from which state which trigger leads where. Every other pair is our own error."""

import enum


class State(enum.Enum):
    """Where a task stands; a span is a range of tasks that stand in the same place."""

    # Enum hashes by name in Python code, at 5 times the price; sets of states are never iterated
    __hash__ = object.__hash__

    WAITING = "waiting"  #: for its inputs, its arguments, its function, or the end of its back-off
    HELD = "held"  #: after a restart, until a cluster claims it or the recovery window ends
    QUEUED = "queued"  #: ready, wanted, and at no cluster
    ASSIGNED = "assigned"  #: sent to a cluster, not known to have begun
    RETRACTING = "retracting"  #: asked back from its cluster
    RUNNING = "running"  #: it has begun
    CANCELLING = "cancelling"  #: nobody wants it, and its cluster has not confirmed that yet
    KEPT = "kept"  #: it has ended, and its outcome waits at its cluster for room on the way to its ledger
    STORED = "stored"  #: it has ended, and its value lies with its cluster until its ledger needs it no more
    DONE = "done"  #: its result is on the way to its ledger, which has not taken it yet
    FAILED = "failed"  #: as DONE, with a failure
    CANCELLED = "cancelled"  #: as DONE, without a result


class Trigger(enum.Enum):
    """What can happen to a task."""

    __hash__ = object.__hash__

    READY = "ready"  #: what it waited for is there
    UNREADY = "unready"  #: something it needs is missing
    DEP_FAILED = "dep-failed"  #: an input failed
    CLAIM = "claim"  #: a cluster says that it has it
    RELEASE = "release"  #: the recovery window ended and nobody claimed it
    PLACE = "place"  #: it is sent to a cluster
    REFUSE = "refuse"  #: no worker can ever take it
    BEGIN = "begin"  #: a slot was seen running it
    RETRACT = "retract"  #: it is asked back
    RETURN = "return"  #: its cluster handed it back, not begun
    RETRY = "retry"  #: its attempt failed, and it may try again after a pause
    LOSE = "lose"  #: its attempt ended with its cluster, or through no fault of its own
    KEEP = "keep"  #: it has ended, and there is no room for its outcome on the way to its ledger
    STORE = "store"  #: it has ended, and its value stays with its cluster
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"  #: nobody wants it any more
    CONFIRM = "confirm"  #: its cluster has dropped it
    OBJECT_LOST = "object-lost"  #: its value, which lay with its cluster, is gone


#: These are at no cluster.
AT_REST = frozenset((State.WAITING, State.HELD, State.QUEUED))
#: A cluster has these and owes an answer for each.
LIVE = frozenset((State.ASSIGNED, State.RETRACTING, State.RUNNING, State.CANCELLING))
#: These end with the acknowledgement of the ledger.
ENDED = frozenset((State.DONE, State.FAILED, State.CANCELLED))
#: These need no arguments, unless their value is lost.
CLOSED = ENDED | {State.STORED}
#: These do not run again.
OVER = ENDED | {State.CANCELLING}


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


_AT_A_CLUSTER = {
    Trigger.BEGIN: _to(State.RUNNING),
    Trigger.RETURN: _to(State.QUEUED),
    Trigger.UNREADY: _to(State.WAITING),
    Trigger.KEEP: _to(State.KEPT),
    Trigger.STORE: _to(State.STORED),
    Trigger.SUCCEED: _to(State.DONE),
    Trigger.FAIL: _to(State.FAILED),
    Trigger.RETRY: _to(State.WAITING),
    Trigger.LOSE: _to(State.QUEUED),
    Trigger.CANCEL: _to(State.CANCELLING),
}

_BY_STATE: dict[State, dict[Trigger, frozenset[State]]] = {
    State.WAITING: {
        Trigger.READY: _to(State.QUEUED),
        Trigger.DEP_FAILED: _to(State.FAILED),
        Trigger.CANCEL: _to(State.CANCELLED),
    },
    State.HELD: {
        Trigger.CLAIM: _to(State.ASSIGNED, State.RUNNING),
        Trigger.RELEASE: _to(State.QUEUED),
        Trigger.KEEP: _to(State.KEPT),
        Trigger.STORE: _to(State.STORED),
        Trigger.SUCCEED: _to(State.DONE),
        Trigger.FAIL: _to(State.FAILED),
        Trigger.CANCEL: _to(State.CANCELLED),
    },
    State.QUEUED: {
        Trigger.PLACE: _to(State.ASSIGNED),
        Trigger.CLAIM: _to(State.ASSIGNED, State.RUNNING),
        Trigger.UNREADY: _to(State.WAITING),
        Trigger.REFUSE: _to(State.FAILED),
        Trigger.CANCEL: _to(State.CANCELLED),
    },
    State.ASSIGNED: _AT_A_CLUSTER | {Trigger.RETRACT: _to(State.RETRACTING)},
    State.RETRACTING: _AT_A_CLUSTER,
    State.RUNNING: {
        Trigger.KEEP: _to(State.KEPT),
        Trigger.STORE: _to(State.STORED),
        Trigger.SUCCEED: _to(State.DONE),
        Trigger.FAIL: _to(State.FAILED),
        Trigger.RETRY: _to(State.WAITING),
        Trigger.LOSE: _to(State.QUEUED, State.FAILED),
        Trigger.CANCEL: _to(State.CANCELLING),
    },
    State.CANCELLING: {
        Trigger.BEGIN: _to(State.CANCELLING),
        Trigger.RETURN: _to(State.CANCELLED),
        Trigger.CONFIRM: _to(State.CANCELLED),
        Trigger.LOSE: _to(State.CANCELLED),
        Trigger.RETRY: _to(State.CANCELLED),
        Trigger.SUCCEED: _to(State.CANCELLED),
        Trigger.FAIL: _to(State.CANCELLED),
    },
    State.KEPT: {
        Trigger.STORE: _to(State.STORED),
        Trigger.SUCCEED: _to(State.DONE),
        Trigger.FAIL: _to(State.FAILED),
        Trigger.LOSE: _to(State.QUEUED, State.WAITING),
        Trigger.CANCEL: _to(State.CANCELLED),
    },
    State.STORED: {
        Trigger.KEEP: _to(State.KEPT),
        Trigger.SUCCEED: _to(State.DONE),
        Trigger.OBJECT_LOST: _to(State.QUEUED, State.WAITING),
        Trigger.CANCEL: _to(State.CANCELLED),
    },
}

#: (from, trigger) -> where it may lead: the only moves there are.
TRANSITIONS: dict[tuple[State, Trigger], frozenset[State]] = {
    (state, trigger): targets for state, moves in _BY_STATE.items() for trigger, targets in moves.items()
}

#: The moves that leave no choice.
_CERTAIN: dict[tuple[State, Trigger], State] = {
    pair: next(iter(targets)) for pair, targets in TRANSITIONS.items() if len(targets) == 1
}


class IllegalTransitionError(RuntimeError):
    """The core asked for a move the table does not have: a defect of ours, never of a peer."""


def target(state: State, trigger: Trigger, wanted: State | None = None) -> State:
    """Where a trigger leads from a state; `wanted` chooses where the table leaves a choice, and must be one of it."""
    pair = (state, trigger)
    if wanted is None:
        certain = _CERTAIN.get(pair)
        if certain is not None:
            return certain
    elif wanted in TRANSITIONS.get(pair, ()):
        return wanted
    raise IllegalTransitionError(f"{state.name} has no {trigger.name}" + (f" to {wanted.name}" if wanted else ""))
