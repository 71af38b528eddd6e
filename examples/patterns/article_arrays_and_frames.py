"""dask's arrays and data frames, computed on workers: `python -m examples.patterns.article_arrays_and_frames`."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

from examples.patterns.connection import connected

chance = np.random.default_rng(5)
numbers = chance.random((1000, 1000))
table = pd.DataFrame({"x": chance.random(1000), "y": chance.random(1000)})

array = da.from_array(numbers, chunks=(500, 500))
frame = dd.from_pandas(table, npartitions=4)

with connected(2) as client, dask.config.set(scheduler=client):
    mean = (array + array.T).mean().compute()
    print(f"array mean: {mean:.4f}, as NumPy says: {np.isclose(mean, (numbers + numbers.T).mean())}")
    # Nothing of this has run before `compute` is called.
    mean = frame[frame.x > 0.5].y.mean().compute()
    print(f"frame mean: {mean:.4f}, as pandas says: {np.isclose(mean, table[table.x > 0.5].y.mean())}")
