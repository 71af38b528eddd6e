"""What a script defines in its own `__main__` must work in a process whose `__main__` is another one."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

# Runs as `__main__`: sends calls to a worker's process over its own stdin and stdout, and prints what comes back.
SCRIPT = """
import enum, functools, subprocess, sys, typing
from dataclasses import dataclass
from scaler.payload.calls import pickle_call
from scaler.payload.functions import pickle_function
from scaler.payload.values import load_value
import pickle

UserId = typing.NewType("UserId", int)
T = typing.TypeVar("T")
FACTOR = 3

class Colour(enum.Enum):
    RED = 1

@dataclass
class Box:
    content: object

class CodeError(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code

@functools.lru_cache
def cached(x):
    return x * FACTOR

def annotated(x: UserId, y: T) -> Box:
    return Box((cached(x), y, Colour.RED))

def fails(code):
    raise CodeError(code, "failed")

def tripled(x):
    return x * FACTOR

class Local:
    def __init__(self, x):
        self.x = x
    def method(self, y):
        return Box((self.x, y))
    def __eq__(self, other):
        return type(other) is Local and other.x == self.x
    def __hash__(self):
        return 1

calls = []
def call(function, *args, **kwargs):
    calls.append((pickle_function(function).frames, pickle_call(args, kwargs)))

call(annotated, 2, "y")
call(cached, 5)
call(lambda box: box.content is box, Box(1))
call(fails, 7)
call(tripled, 1)
FACTOR = 4
call(tripled, 1)
call(Local(1).method, y=2)
call(Local, x=3)
call(functools.partial(sorted, key=lambda x: -x), [1, 2])
call(lambda colour: colour, Colour.RED)
call(lambda: UserId(3))
call(lambda function: function(2), tripled)

worker = subprocess.run([sys.executable, "-c", WORKER], input=pickle.dumps(calls), capture_output=True, check=True)
outcomes = [load_value(*result) for result in pickle.loads(worker.stdout)]
assert outcomes[0].value == Box((6, "y", Colour.RED)), outcomes[0]
assert outcomes[0].value.content[2] is Colour.RED
assert outcomes[1].value == 15, outcomes[1]
assert outcomes[2].value is False, outcomes[2]
assert type(outcomes[3].error) is CodeError, outcomes[3]
assert (str(outcomes[3].error), outcomes[3].error.code) == ("7: failed", 7)
assert [outcome.value for outcome in outcomes[4:6]] == [3, 4]
assert outcomes[6].value == Box((1, 2))
assert outcomes[7].value == Local(3)
assert outcomes[8].value == [2, 1]
assert outcomes[9].value is Colour.RED
assert outcomes[10].value == 3, outcomes[10]
assert outcomes[11].value == 8, outcomes[11]
print(len(outcomes), "outcomes are right")
"""

WORKER = """
import pickle, sys
from scaler.payload.calls import load_call
from scaler.payload.exceptions import dump_exception
from scaler.payload.functions import load_function
from scaler.payload.values import dump_value
results = []
for frames, call in pickle.loads(sys.stdin.buffer.read()):
    try:
        args, kwargs = load_call(call)
        results.append((0, dump_value(load_function(frames)(*args, **kwargs))))
    except Exception as error:
        results.append((1, dump_exception(error, 1, "")))
sys.stdout.buffer.write(pickle.dumps(results))
"""


def run(*arguments: str | Path) -> str:
    """What a Python process prints."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


def test_what_a_script_defines_works_in_a_worker_and_comes_back_as_its_own(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(f"WORKER = {WORKER!r}\n{SCRIPT}")
    assert run(script) == "12 outcomes are right\n"


@pytest.mark.parametrize("module", ["functions", "calls", "values"])
def test_tblib_is_loaded_only_where_something_failed(module: str):
    loaded = run("-c", f"import sys, scaler.payload.{module}; print('tblib' in sys.modules)")
    assert loaded == "False\n"


def test_equal_calls_have_equal_bytes_in_every_process():
    code = "from scaler.payload.calls import pickle_call; print(pickle_call((1, 'x', [2.5], {'a': (None,)})).hex())"
    first, second = run("-c", code), run("-c", code)
    assert first == second
    assert pickle.loads(bytes.fromhex(first)) == (1, "x", [2.5], {"a": (None,)})  # noqa: S301  # our own
