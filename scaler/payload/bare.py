"""The two calls of every worker's hot loop, without a Python function around them.

`load` opens the bytes of a call; `dump(value, PROTOCOL)` is right for values of the types in `pickling.PLAIN` only, all
others go through `values.dump_value`.
"""

import pickle

load = pickle.loads  #: the scheduler let only our own keys in
dump = pickle.dumps
