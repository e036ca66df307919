import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.photos.rows import Row, Rows


@given(st.lists(st.tuples(st.text(), st.text(), st.none() | st.text())), st.slices(20))
def test_packed_rows_are_the_rows(parts: list[tuple[str, str, str | None]], chosen: slice) -> None:
    rows = [Row(*each) for each in parts] * 300  # more than a block
    packed = Rows(rows)
    assert list(packed) == rows
    assert packed[chosen] == tuple(rows[chosen])
    if rows:
        assert packed[-1] == rows[-1]
    with pytest.raises(IndexError):
        packed[len(rows)]
