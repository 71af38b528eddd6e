"""A pipeline of dask arrays, optimised and not, with pictures of both: `python -m examples.patterns.lesson_arrays`."""

import tempfile
from pathlib import Path

import dask
import dask.array as da
import numpy as np

from examples.patterns.connection import connected
from examples.patterns.picture import draw

POINTS, CHUNK = 100_000, 25_000

chance = da.random.default_rng(5)
a = chance.uniform(5, 10, POINTS, chunks=CHUNK)
b = chance.uniform(10, 20, POINTS, chunks=CHUNK)
c = chance.uniform(-0.1, 0.1, POINTS, chunks=CHUNK)
output = (-b + np.sqrt(b**2 - 4 * a * c)) / (2 * a)

folder = Path(tempfile.mkdtemp(prefix="scaler-"))
plain = draw(output, folder / "compute_graph_quadratic_formula.svg")
optimised = draw(output, folder / "compute_graph_quadratic_formula__optimized.svg", optimize_graph=True)
print(f"{plain} nodes, {optimised} when optimised, drawn in {folder}")

with connected(2) as client:
    with dask.config.set(scheduler=client):
        (unoptimised_result,) = dask.compute(output, optimize_graph=False)
        (optimised_result,) = dask.compute(output, optimize_graph=True)
    print("unoptimised:", unoptimised_result)
    print("optimised:  ", optimised_result)
    print("equal:", np.allclose(unoptimised_result, optimised_result))
    residue = (a * optimised_result**2 + b * optimised_result + c).compute(scheduler=client)
    print("they solve the equation:", np.allclose(residue, 0))
