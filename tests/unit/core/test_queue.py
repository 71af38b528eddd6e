from scaler.core.lanes import ClassKey, Lane
from scaler.core.queue import Queue
from scaler.core.spans import NO_NEEDS
from scaler.ids import Incarnation
from tests.unit.core.examples import ALICE, BOB

PLAIN = ClassKey(None, (), NO_NEEDS)
TAGGED = ClassKey("gpu", (), NO_NEEDS)


def lane(serial: int, owner: Incarnation = ALICE, priority: int = 0, key: ClassKey = PLAIN, depth: int = 0) -> Lane:
    return Lane(serial, owner, priority, key, depth)


def served(queue: Queue, key: ClassKey = PLAIN) -> list[int]:
    """The batches in the order of their turns, one task a turn."""
    order = []
    while (head := queue.classes[key].head()) is not None:
        first = head[0]
        order.append(first.serial)
        queue.take(first, first.first, 1)
        queue.classes[key].pass_turn(first)
    return order


def test_tasks_are_served_by_index():
    queue, one = Queue(), lane(1)
    for lo in (6, 2, 4):
        queue.put(one, lo, 1)
    assert one.starts() == [2, 4, 6]
    assert one.first == 2
    queue.take(one, 4, 1)
    assert one.starts() == [2, 6]
    assert (one.tasks, queue.tasks) == (2, 2)


def test_of_one_client_the_older_batch_is_served_first():
    queue = Queue()
    queue.put(lane(2), 0, 1)
    queue.put(lane(1), 0, 1)
    assert served(queue) == [1, 2]


def test_a_higher_priority_is_served_first():
    queue = Queue()
    queue.put(lane(1), 0, 1)
    queue.put(lane(2, priority=5), 0, 1)
    queue.put(lane(3, priority=-1), 0, 1)
    assert served(queue) == [2, 1, 3]


def test_clients_take_turns_however_old_their_batches():
    queue, old, new = Queue(), lane(1), lane(2, BOB)
    for index in range(2):
        queue.put(old, index, 1)
        queue.put(new, index, 1)
    assert queue.classes[PLAIN].head() == (old, 2)
    assert served(queue) == [1, 2, 1, 2]


def test_of_one_client_the_deepest_is_served_first_and_others_keep_their_turns():
    queue = Queue()
    for one in (lane(1), lane(2, depth=1), lane(3, depth=2), lane(4, BOB), lane(5, BOB), lane(6, depth=1)):
        queue.put(one, 0, 1)
    assert served(queue) == [3, 4, 2, 5, 6, 1]


def test_a_higher_priority_is_served_before_what_is_deeper():
    queue = Queue()
    queue.put(lane(1, depth=3), 0, 1)
    queue.put(lane(2, priority=1), 0, 1)
    assert served(queue) == [2, 1]


def test_a_class_that_is_empty_is_swept_away_and_comes_back():
    queue, one, other = Queue(), lane(1), lane(2, key=TAGGED)
    queue.put(one, 0, 2)
    queue.put(other, 0, 1)
    queue.take(one, 0, 2)
    assert one.in_heap
    queue.sweep()
    assert list(queue.classes) == [TAGGED]
    assert not one.in_heap
    queue.put(one, 7, 1)
    assert list(queue.classes) == [TAGGED, PLAIN]
    assert served(queue) == [1]


def test_only_a_lane_that_is_new_in_the_queue_wakes_a_starved_class():
    queue, one = Queue(), lane(1)
    queue.put(one, 0, 1)
    queue.woken.clear()
    queue.put(one, 2, 1)
    assert list(queue.woken) == []
    queue.put(lane(2), 0, 1)
    assert list(queue.woken) == [PLAIN]
