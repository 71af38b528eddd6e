from scaler.ids import function_id


def test_a_function_is_named_by_its_bytes_however_they_are_cut():
    name = function_id((b"some bytes",))
    assert len(name) == 16
    assert function_id((b"some ", memoryview(b"bytes"))) == name
    assert function_id((b"other bytes",)) != name
