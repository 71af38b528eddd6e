"""Floods a scheduler with garbage of one role, over several connections: `ADDRESS KEY ROLE SEED FRAMES VICTIM…`.

Every connection ends with nonsense, so it has to be cut off; one that is not is a failure. Prints how many frames it
sent and how many connections that took.
"""

import os
import random
import select
import sys
import time
from pathlib import Path

from scaler.ids import SECRET_BYTES, Epoch, Incarnation, incarnation_of
from scaler.net.addresses import parse_address
from scaler.net.keys import read_key_file
from scaler.net.transport import Arrived, Connected, Lost
from scaler.net.versions import our_versions
from scaler.net.zmq_dialer import Dialing, ZmqDialer
from scaler.protocol import Hello, Rejected
from scaler.protocol.codec import Decoder, bundle, encode
from tests.integration.security_garbage import NONSENSE, Liar

AT_ONCE = 16
LENGTHS = (4, 10, 30, 80)
#: longest wait for a connection to be cut off
CUT_S = 30.0
#: who is refused leaves so much later: whoever closes in the middle of a message may end by an assertion of libzmq
LEAVE_S = 0.05
#: no frame is so large; libzmq itself ends such a connection
TOO_LARGE = bytes(3 << 20)


class Intruder:
    """One connection, and what it is going to say on it: a greeting, and the rest once that is answered."""

    def __init__(self, dialing: Dialing, decoder: Decoder, train: list[list[bytes]]) -> None:
        self._dialing = dialing
        self.dialer: ZmqDialer = dialing.dial()
        self._decoder = decoder
        self._train = train
        self._said = 0
        self._by = time.monotonic() + CUT_S
        #: it was told that it is refused: it leaves when it is cut off, or then
        self._leave_at: float | None = None

    def is_cut_off(self) -> bool:
        """Go on; whether the scheduler has ended it, which it must in time."""
        for event in self.dialer.receive(1000):
            match event:
                case Connected():
                    self._say(1)
                case Arrived(_, frames):
                    if any(isinstance(header.message, Rejected) for header in self._decoder.decode(frames)):
                        self._leave_at = time.monotonic() + LEAVE_S
                    elif self._leave_at is None:
                        self._say(len(self._train))
                case Lost(_, reason) if not self._said:
                    # a busy scheduler may take longer for the handshake than we wait for it
                    if time.monotonic() > self._by:
                        raise SystemExit(f"a good key was not let in: {reason}")
                    self.dialer.close()
                    self.dialer = self._dialing.dial()
                    return False
                case Lost():
                    return True
        if self._leave_at is not None:
            return time.monotonic() > self._leave_at
        if time.monotonic() > self._by:
            raise SystemExit(f"not cut off after {CUT_S:g} s: {self._train!r:.2000}")
        return False

    def _say(self, until: int) -> None:
        for frames in self._train[self._said : until]:
            self.dialer.send(frames)
        self._said = until


def epoch_of(dialing: Dialing, decoder: Decoder, role: str) -> Epoch:
    """Which life of the scheduler this is, as it tells everybody who says hello."""
    dialer = dialing.dial()
    poll = _poll(dialer)
    while True:
        for event in dialer.receive(10):
            match event:
                case Connected():
                    secret = os.urandom(SECRET_BYTES)
                    who = incarnation_of(secret)
                    hello = Hello(role, who, Incarnation(0), 0, 0, our_versions(), secret=secret)
                    dialer.send([bundle([encode(0, 0, hello)])])
                case Arrived(_, frames):
                    message = decoder.decode(frames)[0].message
                    assert isinstance(message, Hello), message
                    dialer.close()
                    return Epoch(message.incarnation)
                case Lost():
                    dialer.close()
                    dialer = dialing.dial()
                    poll = _poll(dialer)
        if not dialer.pending():
            poll.poll(1000)


def flood(dialing: Dialing, role: str, seed: int, frames: int, victims: list[Incarnation]) -> tuple[int, int]:
    """Send so many frames; how many it was in the end, and over how many connections."""
    decoder = Decoder(f"to-{role}")
    epoch = epoch_of(dialing, decoder, role)
    chance = random.Random(seed)
    sent = connections = 0
    intruders: list[Intruder] = []
    while sent < frames or intruders:
        while sent < frames and len(intruders) < AT_ONCE:
            liar = Liar(chance, role, our_versions(), victims, epoch)
            last = [TOO_LARGE] if chance.random() < 0.002 else [NONSENSE]
            # the nonsense comes twice, for who is not greeted is told nothing before it says more
            train = [*liar.train(chance.choice(LENGTHS)), last, last]
            intruders.append(Intruder(dialing, decoder, train))
            sent += len(train)
            connections += 1
        going = []
        for intruder in intruders:
            if intruder.is_cut_off():
                intruder.dialer.close()
            else:
                going.append(intruder)
        if len(going) == len(intruders) and not any(intruder.dialer.pending() for intruder in going):
            _poll(*(intruder.dialer for intruder in going)).poll(100)
        intruders = going
    return sent, connections


def _poll(*dialers: ZmqDialer) -> select.poll:
    poll = select.poll()
    for dialer in dialers:
        for descriptor in dialer.filenos():
            poll.register(descriptor, select.POLLIN)
    return poll


def main() -> None:
    address, key_file, role, seed, frames, *victims = sys.argv[1:]
    dialing = Dialing(parse_address(address, {}), read_key_file(Path(key_file)))
    found = flood(dialing, role, int(seed), int(frames), [Incarnation(int(victim)) for victim in victims])
    sys.stdout.write(" ".join(map(str, found)) + "\n")


if __name__ == "__main__":
    main()
