"""The scenarios, in the order of their numbers."""

from benchmarks.chaos.scenario import Scenario
from benchmarks.chaos.scenarios import (
    capture,
    cluster_storm,
    cuts,
    descriptors,
    door,
    flood,
    gil,
    pause,
    plaintext,
    poison,
    scheduler_kills,
    soak,
    walltime,
    worker_storm,
)
from benchmarks.chaos.scenarios.beside import beside

SCENARIOS: dict[str, Scenario] = {
    scenario.number: scenario
    for scenario in (
        worker_storm.SCENARIO,
        poison.SCENARIO,
        walltime.SCENARIO,
        cluster_storm.SCENARIO,
        scheduler_kills.SCENARIO,
        cuts.SHORT_SCENARIO,
        cuts.LONG_SCENARIO,
        pause.SCENARIO,
        gil.SCENARIO,
        flood.SCENARIO,
        descriptors.SCHEDULER,
        descriptors.CLUSTER,
        door.SCENARIO,
        plaintext.SCENARIO,
        capture.SCENARIO,
        soak.SCENARIO,
        *(beside(worker_storm.SCENARIO, peer) for peer in ("dask", "ray", "concurrent_futures")),
        *(beside(scheduler_kills.SCENARIO, peer) for peer in ("dask_apart", "ray", "concurrent_futures")),
    )
}
