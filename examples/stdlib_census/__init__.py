"""A census of Python's standard library, taken by all workers: `python -m examples.stdlib_census`.

Each of some 1,700 files is one task: parse it, count what it defines, find its longest functions and its imports. They
differ in size by a factor of ten thousand, so that dividing them beforehand would leave workers idle.
"""
