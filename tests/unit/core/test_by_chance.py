"""Peers that do whatever peers may do, by chance; every turn is followed by a look at every invariant."""

from functools import cache
from random import Random
from typing import Any, get_args

import msgspec
import pytest

from scaler.core.events import PeerLost, Received
from scaler.ids import Incarnation
from scaler.protocol import FromClient, FromCluster
from scaler.protocol.columns import Frame
from tests.unit.core.examples import (
    EPOCH,
    FINE,
    A,
    B,
    F,
    client,
    cluster,
    cut_off,
    maps,
    outcomes,
    values,
)
from tests.unit.core.world import World


@pytest.mark.parametrize("seed", range(6))
def test_whatever_peers_do_every_call_is_answered_once_and_nothing_is_left_over(seed: int):
    world = World(seed)
    for _ in range(150):
        world.act()
        world.turn()
    world.calm()
    assert world.core.managers.tasks.runs == {}
    assert sum(world.core.managers.tasks.tasks_in.values()) == 0
    assert len(world.core.managers.functions) <= 2
    assert len(world.core.managers.tasks.inputs) == 0
    assert world.needs.served > 0
    assert world.needs.told > 0


def test_the_same_events_make_the_same_commands():
    first, second = (log(World(99)) for _ in range(2))
    assert first == second


def log(world: World) -> list[object]:
    commands: list[object] = []
    for _ in range(60):
        world.act()
        world.turn()
        commands += world.commands
    return commands


# ---- garbage

INTERESTING = (-1, 0, 1, 2, 3, 5, 7, 1 << 20, 1 << 53, (1 << 64) - 1)


layout = cache(msgspec.inspect.type_info)


def anything(kind: object, chance: Random) -> object:
    """Some value of a type, as plain data: often one that means something here, seldom one that makes sense."""
    match kind if isinstance(kind, msgspec.inspect.Type) else layout(kind):
        case msgspec.inspect.UnionType(types):
            return anything(chance.choice(types), chance)
        case msgspec.inspect.StructType(cls, fields):
            tag = [cls.__struct_config__.tag] if isinstance(cls.__struct_config__.tag, int) else []
            return [*tag, *(anything(field.type, chance) for field in fields)]
        case msgspec.inspect.NamedTupleType(cls, fields):
            known = {"RunId": [EPOCH, chance.choice((1, 2, 9))], "BatchId": list(chance.choice((A, B)))}
            made = known.get(cls.__name__) or [anything(field.type, chance) for field in fields]
            return sorted(made) if cls.__name__ == "Range" else made
        case msgspec.inspect.TupleType(types):
            return [anything(one, chance) for one in types]
        case msgspec.inspect.VarTupleType(item):
            return [anything(item, chance) for _ in range(chance.choice((0, 1, 1, 2)))]
        case msgspec.inspect.IntType():
            return chance.choice(INTERESTING)
        case msgspec.inspect.FloatType():
            return chance.choice((0.0, 1.0, 0.5, 1e-320, 1e308, -1.0))
        case msgspec.inspect.StrType():
            return chance.choice(("", "gpu", "x"))
        case msgspec.inspect.BytesType():
            return bytes(F)
        case msgspec.inspect.BoolType():
            return chance.random() < 0.5
        case msgspec.inspect.EnumType(cls):
            return chance.choice([one.value for one in cls])
    return None


def frames(chance: Random) -> tuple[Frame, ...]:
    """Columns that fit, columns that nearly do, and none at all."""
    lo = chance.choice((0, 1, 2))
    made = chance.choice(
        (
            maps(A, 2)[2].frames,
            values(lo, lo + chance.choice((1, 2))).frames(),
            outcomes(lo, [FINE, (chance.randrange(7), b"?")]).frames(),
            (b"code",),
            (),
        )
    )
    if made and chance.random() < 0.3:
        at = chance.randrange(len(made))
        made = (*made[:at], chance.randbytes(len(made[at])), *made[at + 1 :])
    return made


def garbage(chance: Random, kinds: object) -> Any:  # any message
    """A message of one of these types that a decoder would let pass, or None."""
    kind = chance.choice(get_args(kinds))
    try:
        return msgspec.convert(anything(kind, chance), kind)
    except msgspec.ValidationError:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_strangers_send_only_they_are_cut_off_and_every_other_call_is_answered_once(seed: int):
    world = World(seed)
    chance = world.chance
    villain, rogue = Incarnation(3), Incarnation(19)
    world.strangers |= {villain, rogue}
    ended = 0
    for _ in range(60):
        linked = world.core.managers.outbox.peers
        world.events += [] if villain in linked else [client(villain)]
        world.events += [] if rogue in linked else cluster(rogue)
        for peer, kinds in ((villain, FromClient), (rogue, FromCluster)):
            for _ in range(10):
                message = garbage(chance, kinds)
                if message is not None:
                    world.events.append(Received(peer, message, frames(chance)))
        world.act(faults=False)
        world.turn()
        ended += len(cut_off(world.commands))
    world.events += [PeerLost(villain), PeerLost(rogue)]
    world.calm()
    assert ended > 20
