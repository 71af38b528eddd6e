"""The simulated client process: the real link, and a caller."""

from typing import Any

from scaler.ledger import events as ledger
from scaler.link import events as link
from tests.simulation.caller import Caller, Judge
from tests.simulation.dialling import Dialling
from tests.simulation.world import World

#: a client that leaves waits so long for its goodbye to arrive
LEAVING_S = 0.1


class Client(Dialling):
    """A client process."""

    words = ledger

    def __init__(self, world: World, host: str, secret: bytes, judge: Judge) -> None:
        super().__init__(world, host, "client", secret)
        self.caller = Caller(world, host, self.incarnation, judge, self.tell)
        self.step([], [])

    def die(self) -> None:
        super().die()
        self.caller.has_ended = True

    def leave(self) -> None:
        """Disconnect, and end before long whether that is heard or not."""
        self.tell([ledger.Leaving()])
        self.world.clock.after(LEAVING_S, self.die)

    def step(self, events: list[link.DialledEvent], own: list[Any]) -> None:
        now = self.world.clock.now
        told = [*own, *self.handle_link(events, now)]
        said = self.caller.turn(told, self.link.room_bytes)
        if said:
            assert not self.handle_link(said, now)
        self.ask_again(self.caller.ledger.next_deadline())
