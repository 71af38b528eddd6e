"""What follows when a worker process ends: who is to blame, what is answered, what runs again."""

from collections.abc import Collection

from scaler.ids import TicketId
from scaler.protocol import Cause, Failure, ReturnReason, WorkerDied
from scaler.resources import bytes_text
from scaler.worker.agent_events import MemoryPassed, StartFailed, WorkerEnded
from scaler.worker.agent_everywhere import drop_calls
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_harvest import timed_out_column
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import VAIN_S, AgentConfig, Pool
from scaler.worker.agent_results import failed_column
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import Phase, Run, Ticket, Worker

#: signals that end processes, by number, as on every Linux
SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip


def ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    name = SIGNALS.get(-exit_code)
    return f"was killed by signal {-exit_code}" + (f" ({name})" if name else "")


class Deaths:
    """Settles what ended workers leave."""

    def __init__(self, config: AgentConfig, runs: Runs, pool: Pool, giving: Giving, outbox: Outbox) -> None:
        self._config = config
        self._runs = runs
        self._pool = pool
        self._giving = giving
        self._outbox = outbox

    def memory_passed(self, worker: Worker, event: MemoryPassed) -> None:
        """A worker uses more memory than it may: it is killed, and what it runs is to blame."""
        if worker.phase is not Phase.KILLED:
            worker.excess_bytes = event.used_bytes
            self._pool.kill(worker)

    def start_failed(self, worker: Worker, event: StartFailed, now: float) -> None:
        """A worker never came up."""
        if worker.phase is not Phase.KILLED or worker.excess_bytes:
            self._outbox.note("error", f"Worker[{worker.id}] could not be started: {event.text}")
        self._put_back(worker)
        drop_calls(worker, self._runs)
        self._pool.ended(worker, now, in_vain=True)

    def _put_back(self, worker: Worker, begun: Collection[TicketId] = ()) -> None:
        """What a worker has not begun is to be run by others."""
        for ticket in reversed(list(worker.tickets.values())):  # each goes before all else
            if ticket.id in begun:
                continue
            lo, hi = ticket.next, ticket.hi
            worker.cut(ticket, lo)
            self._runs.put_back(ticket.run, lo, hi)

    def ended(self, worker: Worker, event: WorkerEnded, now: float) -> None:
        """A worker is gone; its results were taken in before."""
        was_asked = worker.phase in (Phase.KILLED, Phase.RETIRING) and not worker.excess_bytes
        for slot, view in zip(worker.slots, event.slots, strict=True):
            slot.view = view
        running = [(ticket, slot.view.index) for slot in worker.slots if (ticket := worker.runs(slot)) is not None]
        if not was_asked:
            self._tell(worker, event)
        self._put_back(worker, {ticket.id for ticket, _ in running})
        for ticket, index in reversed(running):
            self._split_off(worker, ticket, index)
        drop_calls(worker, self._runs)
        is_vain = not was_asked and not worker.has_run and not running and now < worker.started_at + VAIN_S
        self._pool.ended(worker, now, in_vain=is_vain)
        for ticket, index in running:
            run = ticket.run
            run.out -= 1
            if not self._has_outcome(worker, run, index):
                if was_asked:
                    self._stopped(run, index)
                elif len(running) == 1:
                    self._blame(worker, event, run, index)
                else:
                    self._suspect(run, index)
            self._runs.settle(run)

    def _tell(self, worker: Worker, event: WorkerEnded) -> None:
        ended = self._excess(worker) or ending(event.exit_code)
        self._outbox.note("warning", f"Worker[{worker.id}] {ended}", pid=worker.pid)
        self._outbox.say(WorkerDied(worker.id, event.exit_code, f"{worker.place} {ended}"))

    def _excess(self, worker: Worker) -> str:
        if not worker.excess_bytes:
            return ""
        limit = bytes_text(self._config.memory_limit_bytes or 0)
        return f"passed its memory limit of {limit}, with {bytes_text(worker.excess_bytes)}"

    def _split_off(self, worker: Worker, ticket: Ticket, index: int) -> None:
        """Take the task that ran out of its ticket; the caller answers for it, and what is around it is put back."""
        run, lo, hi = ticket.run, ticket.next, ticket.hi
        worker.cut(ticket, lo)
        run.out += hi - lo
        for first, last in ((lo, index), (index + 1, hi)):
            if first < last:
                run.out -= last - first
                self._runs.put_back(run, first, last)

    def _has_outcome(self, worker: Worker, run: Run, index: int) -> bool:
        """Whether it is settled what becomes of a task, whoever ended its worker."""
        was_late = bool(run.timed_out.remove(index, index + 1))
        if not self._runs.drop_cancelled(run, index, index + 1):
            return True
        if was_late:
            self._runs.answer(run, timed_out_column(run, index, worker.place), worker.place)
        return was_late

    def _stopped(self, run: Run, index: int) -> None:
        """We ended its worker: it is begun again, here or elsewhere."""
        if run.options.everywhere:
            return  # no other worker has to make this call
        if self._runs.is_closed:
            self._outbox.give_back(run.id, index, index + 1, ReturnReason.EXPIRED)
        else:
            self._runs.put_back(run, index, index + 1)

    def _blame(self, worker: Worker, event: WorkerEnded, run: Run, index: int) -> None:
        """It ran alone when its worker ended: it fails with it."""
        excess = self._excess(worker)
        if excess:
            failure = Failure(Cause.MEMORY, f"{worker.place} {excess}, while it ran this task", worker.place)
        else:
            text = f"{worker.place} {ending(event.exit_code)} while it ran this task"
            failure = Failure(Cause.DIED, text, worker.place, event.exit_code, event.stderr)
        self._runs.answer(run, failed_column(index, failure), worker.place)

    def _suspect(self, run: Run, index: int) -> None:
        """It, or one that ran beside it: each is to run alone."""
        if run.options.everywhere:
            return  # as above
        if self._runs.is_closed:
            self._outbox.give_back(run.id, index, index + 1, ReturnReason.BYSTANDER)
        else:
            run.out += 1
            self._giving.suspects.append((run, index))
