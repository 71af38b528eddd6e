"""The speed table as data: what is run, on which peers, and the bars that the figures are held to."""

from dataclasses import dataclass, field

from benchmarks.peers import Flags

PPE = "concurrent_futures"
SCHEDULERS = ("dask", "ray", "parsl", "ipyparallel", "opengris")
POOLS = (PPE, "multiprocessing_pool", "loky", "mpire")


@dataclass(frozen=True)
class Bar:
    """What one figure of ours must reach: at least or at most so much, or so many times the best of some peers."""

    figure: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    #: the bar is on the ratio to the best of these peers, measured in turn with us
    times: tuple[str, ...] = ()

    @property
    def more_is_better(self) -> bool:
        """Which way is up; a figure without a bar says nothing, and is read as a cost."""
        return self.at_least is not None

    def is_met_by(self, value: float) -> bool:
        """Whether the value is on the right side; always, where there is no bar."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True)
class Row:
    """One workload with its size, the peers it is run on beside us, and its bars."""

    name: str
    title: str
    workload: str
    bars: tuple[Bar, ...]
    flags: Flags = field(default_factory=dict)
    quick: Flags = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    ours: str = "scaler"
    #: whether other peers than those named can run it when they are asked for
    is_for_all: bool = True
    timeout_s: float = 120.0


_SPREAD = (
    Bar("copies", "copies by the scheduler", at_most=2),
    Bar("x_before", "p99 of others, x before", at_most=2),
    Bar("worst_answer_ms", "ms, slowest answer", at_most=50),
    Bar("seconds", "s"),
)

ROWS = (
    Row(
        "map-1m",
        "map of 1,000,000 no-ops",
        "noop_map",
        (Bar("tasks_per_s", "tasks/s", at_least=300_000), Bar("tasks_per_s", "x PPE", at_least=20, times=(PPE,))),
        flags={"n": 1_000_000},
        quick={"n": 20_000},
        peers=(*POOLS, *SCHEDULERS),
    ),
    Row(
        "map-10k",
        "map of 10,000 no-ops",
        "noop_map",
        (Bar("tasks_per_s", "tasks/s", at_least=100_000),),
        flags={"n": 10_000},
        quick={"n": 1_000},
        peers=(PPE, "multiprocessing_pool"),
    ),
    Row(
        "submit",
        "10,000 single submits, gathered",
        "noop_submit",
        (
            Bar("tasks_per_s", "tasks/s", at_least=25_000),
            Bar("tasks_per_s", "x best scheduler", at_least=3, times=SCHEDULERS),
        ),
        flags={"n": 10_000},
        quick={"n": 500},
        peers=(*POOLS, *SCHEDULERS),
    ),
    Row(
        "tree",
        "dependency tree of 4,096 leaves",
        "tree",
        (
            Bar("tasks_per_s", "tasks/s", at_least=10_000),
            Bar("tasks_per_s", "x best of dask, Ray", at_least=1, times=("dask", "ray")),
        ),
        flags={"n": 4_096},
        quick={"n": 64},
        peers=("dask", "ray", "parsl"),
    ),
    Row(
        "round-trip",
        "lone round trip, TCP",
        "latency",
        (
            Bar("p50_ms", "p50 ms", at_most=1.0),
            Bar("p50_ms", "p50 x PPE", at_most=4.5, times=(PPE,)),
            Bar("p99_ms", "p99 ms", at_most=3.0),
        ),
        flags={"n": 2_000},
        quick={"n": 100},
        peers=(*POOLS, *SCHEDULERS),
    ),
    Row(
        "round-trip-ipc",
        "lone round trip, ipc",
        "latency",
        (Bar("p50_ms", "p50 ms", at_most=0.8), Bar("p99_ms", "p99 ms", at_most=3.0)),
        flags={"n": 2_000},
        quick={"n": 100},
        ours="scaler_ipc",
        is_for_all=False,
    ),
    Row(
        "balance",
        "2,000 heavy-tailed sleeps, 32 workers",
        "balance",
        (
            Bar("ratio", "x list scheduling", at_most=1.05),
            Bar("seconds", "s, x PPE", at_most=1.02, times=(PPE,)),
        ),
        flags={"n": 2_000, "workers": 32},
        quick={"n": 100, "workers": 4},
        peers=(PPE, "multiprocessing_pool", *SCHEDULERS),
    ),
    Row(
        "many-workers",
        "6,400 x 50 ms on 64 workers",
        "many_workers",
        (Bar("ratio", "x ideal", at_most=1.05), Bar("cpu_s", "CPU s")),
        flags={"n": 6_400, "workers": 64},
        quick={"n": 40, "workers": 4},
        peers=(PPE, "ray", "parsl"),
    ),
    Row(
        "late-cluster",
        "a late second cluster, queue of 50 ms tasks",
        "late_cluster",
        (
            Bar("fair_after_s", "s to its share", at_most=1.0),
            Bar("first_result_s", "s to its first"),
            Bar("share_after_1s", "share after 1 s", at_least=0.45),
        ),
        quick={"n": 400},
        is_for_all=False,
    ),
    Row(
        "long-sleep",
        "one 5 s sleep amid 10,000 no-ops",
        "long_task",
        (
            Bar("first_s", "s, first"),
            Bar("middle_s", "s, middle"),
            Bar("last_s", "s, last"),
            Bar("worst_s", "s, worst", at_most=0.5),
        ),
        flags={"n": 10_000, "how": "sleep"},
        quick={"n": 500, "long_s": 1.0},
        peers=(PPE,),
    ),
    Row(
        "long-gil",
        "one 5 s C call under the GIL amid 10,000 no-ops",
        "long_task",
        (
            Bar("first_s", "s, first"),
            Bar("middle_s", "s, middle"),
            Bar("last_s", "s, last"),
            Bar("worst_s", "s, worst", at_most=0.5),
        ),
        flags={"n": 10_000, "how": "gil"},
        quick={"n": 500, "long_s": 1.0},
        peers=(PPE,),
    ),
    Row(
        "queued-map",
        "1,000,000 tasks queued by map",
        "queued_map",
        (
            Bar("scheduler_bytes", "B/task, scheduler", at_most=100),
            Bar("client_bytes", "B/task, client", at_most=150),
            Bar("accepted_s", "s to accept", at_most=5.0),
            Bar("spilled_mb", "MB to disk", at_most=0.0),
        ),
        flags={"n": 1_000_000},
        quick={"n": 100_000},
        is_for_all=False,
    ),
    Row(
        "queued-submits",
        "100,000 queued submits",
        "queued_submits",
        (
            Bar("client_bytes", "B/task, client", at_most=2_200),
            Bar("scheduler_bytes", "B/task, scheduler", at_most=600),
        ),
        flags={"n": 100_000},
        quick={"n": 5_000},
        peers=(PPE,),
    ),
    Row(
        "paced-submits",
        "20,000 queued submits at 1,000/s",
        "queued_submits",
        (
            Bar("client_bytes", "B/task, client", at_most=2_200),
            Bar("scheduler_bytes", "B/task, scheduler", at_most=600),
        ),
        flags={"n": 20_000, "per_s": 1_000.0},
        quick={"n": 2_000},
    ),
    Row(
        "broadcast",
        "128 MB array sent once, 64 tasks",
        "broadcast",
        (
            Bar("seconds", "s", at_most=0.2),
            Bar("seconds", "s, x Ray", at_most=1, times=("ray",)),
            Bar("arrays", "x its memory", at_most=1.3),
        ),
        flags={"n": 64, "megabytes": 128},
        quick={"n": 8, "megabytes": 4},
        peers=("dask", "ray", "opengris"),
        is_for_all=False,
    ),
    Row(
        "large-values",
        "64 tasks, 4 MB in, 4 MB out",
        "large_values",
        (
            Bar("gb_per_s", "GB/s", at_least=1.0),
            Bar("gb_per_s", "x Ray", at_least=1.3, times=("ray",)),
        ),
        flags={"n": 64, "megabytes": 4},
        quick={"n": 8, "megabytes": 1},
        peers=("dask", "ray", "opengris"),
        is_for_all=False,
    ),
    Row(
        "object-rounds",
        "10 rounds of 1,000 x 1 MB in and out",
        "object_rounds",
        (Bar("growth_percent", "% left over", at_most=10), Bar("mb", "MB")),
        flags={"n": 1000, "kilobytes": 1000},
        quick={"n": 20, "rounds": 2},
        is_for_all=False,
    ),
    Row(
        "heavy-partial",
        "100 submits of a partial over 500 MB",
        "heavy_partial",
        (Bar("x_map", "x by map", at_most=1.5), Bar("by_submit", "s")),
        flags={"n": 100, "megabytes": 500},
        quick={"megabytes": 5},
        is_for_all=False,
    ),
    Row(
        "very-large",
        "512 MB both ways; 500 MB closure, 10,000 calls; 5 GB partial",
        "very_large",
        (Bar("both_ways_s", "s, both ways"), Bar("closure_s", "s, closure"), Bar("partial_s", "s, partial")),
        quick={"megabytes": 5, "closure_megabytes": 5, "calls": 100, "gigabytes": 0.01},
        is_for_all=False,
    ),
    Row(
        "unread",
        "10 GB of results that nobody reads for 60 s",
        "unread",
        (Bar("grown_mb", "MB more, scheduler", at_most=256), Bar("x_before", "p99 of others, x before", at_most=2)),
        flags={"gigabytes": 10.0},
        quick={"gigabytes": 0.1, "seconds": 2.0},
        is_for_all=False,
        timeout_s=300.0,
    ),
    Row(
        "spread",
        "1 GB array to 8 clusters on hosts of their own",
        "spread",
        _SPREAD,
        flags={"gigabytes": 1.0},
        quick={"gigabytes": 0.02, "clusters": 2},
        is_for_all=False,
        timeout_s=300.0,
    ),
    Row(
        "spread-apart",
        "the same, the others with a processor of their own",
        "spread",
        _SPREAD,
        flags={"gigabytes": 1.0, "apart": 1},
        quick={"gigabytes": 0.02, "clusters": 2},
        is_for_all=False,
        timeout_s=300.0,
    ),
    Row(
        "idle",
        "idle, 2 workers and a client",
        "idle",
        (Bar("cpu_percent", "% of a core", at_most=0.5), Bar("pss_mb", "MB")),
        flags={"seconds": 20.0},
        quick={"seconds": 2.0},
        peers=(PPE, *SCHEDULERS),
    ),
    Row(
        "start",
        "process start to first result",
        "startup",
        (Bar("seconds", "s", at_most=1.0),),
        peers=(*POOLS, *SCHEDULERS),
    ),
    Row(
        "import",
        "import",
        "import_time",
        (Bar("import_ms", "ms", at_most=150), Bar("with_names_ms", "ms, names used")),
        quick={"n": 2},
        peers=(PPE, *SCHEDULERS),
    ),
)
