"""Programs in which a wrong answer is easily given: what they define is in `__main__`, or wherever they are run, alone.

Each is the text of one or more cells, without empty lines, so that it can be typed into an interpreter as it is. They
find a `client`, and share their names as the cells of a notebook do.
"""

#: between the cells of one program
CELL = "\n# next cell\n"

TRAPS = {
    "a lambda": """
offset = 1
before = client.submit(lambda number: number + offset, 1)
offset = 10
assert (before.result(), client.submit(lambda number: number + offset, 1).result()) == (2, 11)
assert client.map(lambda number: number * offset, [1, 2]) == [10, 20]
assert [f.result() for f in [client.submit(lambda: offset) for offset in range(5)]] == [0, 1, 2, 3, 4]
equals = [client.submit(lambda one=one: one) for one in (1, True, 1.0, -0.0)]
assert repr([f.result() for f in equals]) == "[1, True, 1.0, -0.0]"
""",
    "a function that is defined anew": """
def answer(): return helper()
def helper(): return "old"
first = [client.submit(answer) for _ in range(20)]
# next cell
def helper(): return "new"
later = [client.submit(answer) for _ in range(20)]
assert {f.result() for f in first} == {"old"} and {f.result() for f in later} == {"new"}
def answer(): return "another"
assert client.submit(answer).result() == "another"
""",
    "functions that call each other": """
def is_even(n): return n == 0 or is_odd(n - 1)
def is_odd(n): return n != 0 and is_even(n - 1)
assert client.map(is_even, [0, 1, 10, 11]) == [True, False, True, False]
""",
    "a class": """
import operator
class Point:
    made = 0
    def __init__(self, x): self.x = x
    def __eq__(self, other): return isinstance(other, Point) and self.x == other.x
    def moved(self, by): return Point(self.x + by)
    @classmethod
    def origin(cls): return cls(0)
    @staticmethod
    def is_point(value): return isinstance(value, Point)
class Named(Point):
    __slots__ = ("name",)
    def __init__(self, x, name): super().__init__(x); self.name = name
# next cell
point = client.submit(Point, 3).result()
assert type(point) is Point and point == Point(3)
assert all(type(one) is Point for one in client.map(Point, range(5)))
assert client.submit(Point(1).moved, 2).result() == Point(3)
assert type(client.submit(Point.origin).result()) is Point
assert type(client.submit(Named.origin.__func__, Point).result()) is Point
named = client.submit(Named, 1, "one").result()
assert type(named) is Named and isinstance(named, Point) and (named.x, named.name) == (1, "one")
assert client.submit(type, point).result() is Point and client.submit(lambda: [Point, Named]).result() == [Point, Named]
assert client.map(Point.is_point, [point, named, 3]) == [True, True, False]
assert client.submit(operator.eq, point, Point(3)).result() is True
assert client.submit(lambda one, two: one is two, point, point).result() is True
assert client.submit(lambda one: isinstance(one, Point), client.submit(Point, 1)).result() is True
""",
    "a class inside of another, and one of a function": """
class Outer:
    class Inner:
        pass
def local():
    class Local:
        def copy(self): return Local()
    return Local
Local = local()
assert type(client.submit(Outer.Inner).result()) is Outer.Inner
one = client.submit(Local).result()
assert type(one) is Local and type(client.submit(one.copy).result()) is Local and type(one.copy()) is Local
""",
    "a class that is defined anew": """
class Shape:
    def name(self): return "old"
    def again(self): return Shape()
def make(): return Shape()
old_class, old_shape = Shape, Shape()
first = [client.submit(make) for _ in range(10)]
# next cell
class Shape:
    def name(self): return "new"
    def again(self): return Shape()
later = [client.submit(make) for _ in range(10)]
assert all(type(f.result()) is Shape and f.result().name() == "new" for f in later)
assert all(type(f.result()) is old_class and f.result().name() == "old" for f in first)
assert not isinstance(first[0].result(), Shape)
assert client.submit(lambda one: (one.name(), isinstance(one, Shape)), old_shape).result() == ("old", False)
assert client.submit(lambda one: (one.name(), isinstance(one, Shape)), first[0]).result() == ("old", False)
assert client.submit(lambda one: (one.name(), isinstance(one, Shape)), later[0]).result() == ("new", True)
""",
    "a class that is changed": """
factor = 2
class Scaled:
    count = 0
    def __init__(self, x): self.x = x
    def value(self): return factor * self.x
one = client.submit(Scaled, 3).result()
assert client.submit(one.value).result() == 6
# next cell
def half(self): return self.x / 2
factor = 10
Scaled.count = 5
Scaled.half = half
method = Scaled.value
assert client.submit(one.value).result() == 30
assert client.submit(lambda: Scaled.count).result() == 5
assert client.submit(one.half).result() == 1.5
assert type(client.submit(Scaled, 1).result()) is Scaled
factor = 100
assert Scaled.value is method and one.value() == 300
Scaled.count += 1
assert type(client.submit(Scaled, 1).result()) is Scaled and Scaled.count == 6
""",
    "what came back of a class before it was changed": """
class Late:
    mark = "old"
waiting = client.submit(Late)
waiting.exception()
# next cell
Late.mark = "new"
assert type(waiting.result()) is Late and (Late.mark, waiting.result().mark) == ("new", "new")
""",
    "a data class": """
import dataclasses
@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int
    more: list = dataclasses.field(default_factory=list, compare=False)
@dataclasses.dataclass(slots=True, order=True)
class Slotted:
    x: int = 0
    y: int = 1
# next cell
frozen = client.submit(Frozen, 1).result()
assert type(frozen) is Frozen and frozen == Frozen(1) and hash(frozen) == hash(Frozen(1)) and frozen.more == []
assert client.submit(dataclasses.replace, Frozen(1), x=2).result() == Frozen(2)
assert client.submit(dataclasses.asdict, Slotted(2)).result() == {"x": 2, "y": 1}
assert client.submit(max, [Slotted(1), Slotted(3)]).result() == Slotted(3)
assert type(client.submit(Slotted).result()) is Slotted
""",
    "an enumeration": """
import enum, operator
class Color(enum.Enum):
    RED = "r"
    BLUE = "b"
    @property
    def is_red(self): return self is Color.RED
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2
class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()
Made = enum.Enum("Made", "X Y", module=__name__)
# next cell
assert client.submit(Color, "r").result() is Color.RED
assert client.submit(lambda: {Color.RED: [Color.BLUE]}).result() == {Color.RED: [Color.BLUE]}
assert client.submit(lambda one: one is Color.RED, Color.RED).result() is True
assert client.submit(lambda one: one is Color.RED, client.submit(lambda: Color.RED)).result() is True
assert client.submit(operator.attrgetter("is_red"), Color.BLUE).result() is False
assert client.map(lambda one: one, list(Color))[1] is Color.BLUE
assert client.submit(lambda: list(Color)).result() == list(Color) and len(Color) == 2
assert client.submit(max, Level).result() is Level.HIGH and client.submit(lambda: Made.X).result() is Made.X
assert client.submit(lambda: Flags.A | Flags.B).result() is Flags.A | Flags.B
""",
    "a named tuple": """
import collections, typing
class Pair(typing.NamedTuple):
    a: int
    b: int = 2
    def total(self): return self.a + self.b
Old = collections.namedtuple("Old", "a b")
# next cell
pair = client.submit(Pair, 1).result()
assert type(pair) is Pair and pair == (1, 2) and pair.total() == 3
assert client.map(Pair.total, [Pair(1), Pair(5, 5)]) == [3, 10]
assert client.map(lambda one: type(one) is Pair, [pair]) == [True]
assert type(client.submit(Old, 1, 2).result()) is Old
""",
    "an exception": """
class TwoError(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text
class WorseError(TwoError):
    def __init__(self, code, *, text):
        super().__init__(code, text)
class FileError(OSError):
    pass
def fail(kind, *args, **kwargs): raise kind(*args, **kwargs)
# next cell
try:
    client.submit(fail, TwoError, 7, "both").result()
    assert False, "it fails"
except TwoError as error:
    assert (type(error) is TwoError, error.code, error.text, str(error)) == (True, 7, "both", "7: both")
error = client.submit(fail, WorseError, 8, text="worse").exception()
assert type(error) is WorseError and isinstance(error, TwoError) and (error.code, error.text) == (8, "worse")
error = client.submit(lambda: fail(FileError, 2, "gone", "name")).exception()
assert type(error) is FileError and (error.errno, error.filename) == (2, "name")
assert type(client.submit(TwoError, 1, "as a value").result()) is TwoError
tries = client.submit(fail, TwoError, 1, "again", retries=1, retry_on=TwoError, retry_delay_s=0.01)
assert type(tries.exception()) is TwoError and tries.profiling_info().attempts == 2
""",
    "classes of other kinds": """
import abc, typing
T = typing.TypeVar("T")
class Meta(type):
    def __call__(cls, *args): return super().__call__(*args)
class WithMeta(metaclass=Meta): pass
class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Real(Abstract):
    def f(self): return "real"
class Box(typing.Generic[T]):
    def __init__(self, value): self.value = value
class Plugin:
    known = []
    def __init_subclass__(cls): Plugin.known.append(cls)
class Mine(Plugin): pass
class Typed(typing.TypedDict):
    a: int
# next cell
assert type(client.submit(WithMeta).result()) is WithMeta
real = client.submit(Real).result()
assert type(real) is Real and isinstance(real, Abstract) and client.submit(real.f).result() == "real"
assert type(client.submit(Box[int], 3).result()) is Box
assert type(client.submit(Mine).result()) is Mine and Plugin.known == [Mine]
assert client.submit(lambda: Plugin.known == [Mine]).result() is True
assert client.submit(Typed, a=1).result() == {"a": 1}
""",
    "what is cached or chosen by type": """
import functools
class Kind: pass
@functools.lru_cache
def cached(n): return n + base
@functools.singledispatch
def chosen(value): return "other"
@chosen.register
def _(value: Kind): return "kind"
base = 1
assert client.submit(cached, 1).result() == 2
base = 10
assert client.submit(cached, 1).result() == 11
assert client.map(chosen, [Kind(), 3]) == ["kind", "other"]
""",
    "what is changed after it was submitted": """
import functools
class Holder:
    def __init__(self): self.items = []
    def get(self): return list(self.items)
    def __call__(self): return len(self.items)
holder = Holder()
given = []
def submitted():
    calls = holder.get, holder, functools.partial(list, given)
    return [*map(client.submit, calls), client.submit(list, given)]
queued = submitted()
holder.items.append(1)
given.append(1)
assert [f.result() for f in queued] == [[], 0, [], []]
assert [f.result() for f in submitted()] == [[1], 1, [1], [1]]
""",
    "equal values of different types": """
assert [client.submit(repr, one).result() for one in (1, True, 1.0, 0.0, -0.0)] == ["1", "True", "1.0", "0.0", "-0.0"]
assert client.map(repr, [1, True, 1.0]) == ["1", "True", "1.0"]
""",
}
