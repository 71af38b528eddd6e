import pickle

import pytest

from scaler.ids import FunctionId
from scaler.protocol.code import NO_CODE, OWN_CODE, Code, code_of, split_code, with_code
from scaler.protocol.columns import MAX_FRAME_BYTES

CODE: Code = (("mine", FunctionId(b"m" * 16)), ("yours", FunctionId(b"y" * 16)))
PICKLED = pickle.dumps(len, 5)


@pytest.mark.parametrize("code", [NO_CODE, OWN_CODE, CODE])
def test_what_stands_before_a_function_is_read_again(code: Code):
    data = with_code(code, PICKLED)
    found, rest = split_code(data)
    assert (found, bytes(rest)) == (code, PICKLED)
    assert code_of((data,)) == code


def test_a_function_without_code_stays_as_it_is():
    assert with_code(NO_CODE, PICKLED) is PICKLED
    assert code_of(()) == NO_CODE


def test_the_first_frame_tells_of_all_of_it():
    data = with_code(CODE, bytes(2 * MAX_FRAME_BYTES))
    assert code_of((data[:MAX_FRAME_BYTES], data[MAX_FRAME_BYTES:])) == CODE


def test_what_only_looks_like_it_is_a_function_that_cannot_be_loaded():
    whole = with_code(CODE, b"")
    for end in range(len(whole)):
        assert split_code(whole[:end]) == (NO_CODE, whole[:end])
    for at in range(len(whole)):
        broken = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        code, rest = split_code(broken)
        assert code or rest == broken
