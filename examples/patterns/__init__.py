"""Patterns of distributed computing, one a file, each run by `python -m examples.patterns.NAME`.

`lesson_…` are those of a lesson on scaling for physicists, `article_…` those of an article on distributed computing
with Python, `quickstart_…` those of Scaler's quickstart, with `examples.map_client` and `examples.simple_client`.
Each starts a scheduler and workers of its own; with the address of a scheduler as its argument it uses that one.
"""
