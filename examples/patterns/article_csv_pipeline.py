"""Sums by category over many files, each read where it is summed: `python -m examples.patterns.article_csv_pipeline`.

Tasks are given file names and return small tables, so that no row travels.
"""

import tempfile
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd

from examples.patterns.connection import connected

FILES, ROWS = 24, 5_000
CATEGORIES = ["books", "garden", "music", "toys"]


def write_files(folder: Path) -> None:
    """Sales of two years, a file for each month."""
    chance = np.random.default_rng(5)
    for month in range(FILES):
        sales = {"category": chance.choice(CATEGORIES, ROWS), "amount": chance.integers(1, 100, ROWS)}
        pd.DataFrame(sales).to_csv(folder / f"sales_{month:02}.csv", index=False)


def sums_of(file: Path) -> pd.Series:
    """The sums of one file."""
    return pd.read_csv(file).groupby("category").amount.sum()


with tempfile.TemporaryDirectory() as name, connected(2) as client:
    folder = Path(name)
    write_files(folder)
    with dask.config.set(scheduler=client):
        result = dd.read_csv(str(folder / "sales_*.csv")).groupby("category").amount.sum().compute().sort_index()
    print(result.to_string())
    print(f"{result.sum():,} in {FILES * ROWS:,} rows of {FILES} files")

    by_hand = pd.concat(client.map(sums_of, sorted(folder.iterdir()))).groupby("category").sum()
    print("the same by hand:", by_hand.to_dict() == result.to_dict())
