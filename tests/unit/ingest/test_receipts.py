import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Refused
from common.receipts import decode_receipt, encode_receipt, of_records

OFFSETS = st.dictionaries(
    st.tuples(st.sampled_from(["records.a", "records.b", "records.rejected"]), st.integers(0, 1000)),
    st.integers(0, 2**63 - 1),
)


def forged(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(OFFSETS)
def test_a_receipt_reads_back_as_what_it_was_made_of(offsets: dict[tuple[str, int], int]) -> None:
    """Topic, partition and offset survive, whatever they are."""
    assert decode_receipt(encode_receipt(offsets)) == offsets


@given(OFFSETS)
def test_a_receipt_is_safe_in_a_url(offsets: dict[tuple[str, int], int]) -> None:
    """It is passed in a query parameter as it came."""
    assert all(
        character.isascii() and (character.isalnum() or character in "-_") for character in encode_receipt(offsets)
    )


def test_equal_offsets_make_equal_receipts() -> None:
    """The order in which partitions answered makes no difference."""
    offsets = {("records.b", 1): 5, ("records.b", 0): 7}
    assert encode_receipt(offsets) == encode_receipt(dict(reversed(offsets.items())))


def test_who_keeps_records_alone_waits_for_these_alone() -> None:
    """What was refused is in another topic, which windows have no position of."""
    assert of_records({("records.b", 1): 5, ("records.rejected", 0): 7}) == {("records.b", 1): 5}


@pytest.mark.parametrize(
    "receipt",
    [
        "",
        "not base64!",
        "é",
        "abc",
        forged({"v": 2, "at": {}}),
        forged({"v": 1}),
        forged({"v": 1, "at": {"control": {"0": 1}}}),
        forged({"v": 1, "at": {"records.a": {"0": -1}}}),
        forged({"v": 1, "at": {"records.a": {"-1": 1}}}),
        forged({"v": 1, "at": {"records.a": {"0": 2**64}}}),
        forged({"v": 1, "at": {"records.a": {"x": 1}}}),
        forged({"v": 1, "at": {}, "more": 1}),
        forged([]),
        "A" * 100_000,
    ],
)
def test_what_is_no_receipt_is_refused(receipt: str) -> None:
    """A receipt comes back from clients, who may send anything."""
    with pytest.raises(Refused, match="not one of ours") as refused:
        decode_receipt(receipt)
    assert refused.value.code == "invalid_parameter"
