import gzip
import json
import random
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Refused
from ingest.bodies import Body, Encoding, Form, encoding_of, form_of, split

LIMIT = 1_000_000
MAX = 100
A = b'{"unique_identifier":"a","number":1,"text":"t"}'


def read(body: bytes, encoding: Encoding = Encoding.IDENTITY, limit: int = LIMIT, chunk: int = 1000) -> bytes:
    taken = Body(encoding, limit)
    for start in range(0, len(body), chunk):
        taken.feed(body[start : start + chunk])
    return taken.whole()


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)  # the same in every run, no secret


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", Form.JSON),
        ("Application/JSON; charset=UTF-8", Form.JSON),
        ('application/json;charset="utf-8"', Form.JSON),
        ("application/json; charset=utf8", Form.JSON),
        ("application/x-ndjson", Form.NDJSON),
        ("application/ndjson", Form.NDJSON),
        ("application/jsonlines ; charset=utf-8", Form.NDJSON),
    ],
)
def test_content_types_that_are_taken(content_type: str, form: Form) -> None:
    """Case, spaces and an explicit charset of UTF-8 make no difference."""
    assert form_of(content_type) is form


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("", "which is absent"),
        ("text/plain", "not 'text/plain'"),
        ("application/json; charset=latin-1", "The charset must be utf-8, not 'latin-1'."),
        ("application/x-ndjson; charset=utf-16", "The charset must be utf-8, not 'utf-16'."),
        ("multipart/form-data; boundary=x", "application/json or application/x-ndjson"),
    ],
)
def test_content_types_that_are_not_taken(content_type: str, said: str) -> None:
    """The refusal says what was sent and what would be taken."""
    with pytest.raises(Refused) as refused:
        form_of(content_type)
    assert refused.value.code == "unsupported_media_type"
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("header", "encoding"),
    [("", Encoding.IDENTITY), ("identity", Encoding.IDENTITY), ("GZIP ", Encoding.GZIP), ("zstd", Encoding.ZSTD)],
)
def test_encodings_that_are_taken(header: str, encoding: Encoding) -> None:
    """No header at all means the body stands as it is."""
    assert encoding_of(header) is encoding


@pytest.mark.parametrize("header", ["br", "deflate", "gzip, gzip", "gzip,zstd", "x" * 500])
def test_encodings_that_are_not_taken(header: str) -> None:
    """One layer of gzip or zstd is the most."""
    with pytest.raises(Refused, match="gzip, zstd or identity") as refused:
        encoding_of(header)
    assert refused.value.code == "unsupported_media_type"
    assert len(refused.value.detail) < 200


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 256, 100_000])
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (Encoding.IDENTITY, bytes),
        (Encoding.GZIP, gzip.compress),
        (Encoding.GZIP, lambda body: gzip.compress(body[:500]) + gzip.compress(body[500:])),
        (Encoding.ZSTD, zstandard.ZstdCompressor().compress),
        (Encoding.ZSTD, lambda body: zstandard.compress(body[:500]) + zstandard.compress(body[500:])),
    ],
)
def test_a_body_comes_out_as_it_went_in(encoding, compress, chunk: int) -> None:
    """However it is cut into chunks, and also out of several members or frames one after the other."""
    body = noise(2_000) + b"x" * 2_000
    assert read(compress(body), encoding, chunk=chunk) == body


@pytest.mark.parametrize("encoding", list(Encoding))
def test_no_bytes_at_all_are_an_empty_body(encoding: Encoding) -> None:
    """Whether a compressed nothing is a fault is not decided here."""
    assert read(b"", encoding) == b""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (Encoding.GZIP, b"{}" * 100),
        (Encoding.ZSTD, b"{}" * 100),
        (Encoding.GZIP, zlib.compress(b"{}" * 100)),
        (Encoding.GZIP, gzip.compress(b"{}" * 100, mtime=0)[:-4]),
        (Encoding.ZSTD, zstandard.compress(noise(1000))[:-4]),
        (Encoding.GZIP, gzip.compress(b"{}", mtime=0) + b"trailing"),
        (Encoding.ZSTD, zstandard.compress(b"{}") + b"trailing"),
        (Encoding.GZIP, gzip.compress(b"{}" * 100, mtime=0)[:-8] + bytes(8)),
        (Encoding.GZIP, gzip.compress(b"{}", mtime=0)[:5]),
    ],
)
def test_what_cannot_be_decompressed_is_refused(encoding: Encoding, body: bytes) -> None:
    """Another format, a cut, a wrong checksum or something behind the end."""
    with pytest.raises(Refused, match=encoding.value) as refused:
        read(body, encoding)
    assert refused.value.code == "invalid_encoding"


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    """A sender must not choose how much memory a body takes here."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Refused) as refused:
        read(compressor.compress(noise(1000)) + compressor.flush(), Encoding.ZSTD)
    assert refused.value.code == "invalid_encoding"


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [(Encoding.IDENTITY, bytes), (Encoding.GZIP, gzip.compress), (Encoding.ZSTD, zstandard.compress)],
)
def test_the_limit_is_exact(encoding, compress, size: int) -> None:
    """A body of the limit passes and one byte more does not, compressed or not."""
    body = compress(bytes(size))
    if size == LIMIT:
        assert len(read(body, encoding)) == LIMIT
        return
    with pytest.raises(Refused) as refused:
        read(body, encoding)
    assert refused.value.code == "body_too_large"
    assert "1,000,000 bytes" in refused.value.detail


def test_the_limit_holds_for_the_compressed_body_too() -> None:
    """What does not shrink is refused by its length as sent."""
    with pytest.raises(Refused, match="as sent"):
        read(gzip.compress(noise(LIMIT), 0), Encoding.GZIP)


# --- splitting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "body", "records"),
    [
        (Form.JSON, A, [A]),
        (Form.JSON, b" \r\n" + A + b"\n", [A]),
        (Form.JSON, b"\xef\xbb\xbf" + A, [A]),
        (Form.JSON, b"[" + A + b"]", [A]),
        (Form.JSON, b" [ " + A + b" ,\n" + A + b" ] ", [A, A]),
        (
            Form.JSON,
            b'[1, "a,b]", [[2], {}], null, {"a": {"b": [3]}}]',
            [b"1", b'"a,b]"', b"[[2], {}]", b"null", b'{"a": {"b": [3]}}'],
        ),
        (Form.JSON, b"null", [b"null"]),
        (Form.NDJSON, A, [A]),
        (Form.NDJSON, A + b"\n" + A + b"\n", [A, A]),
        (Form.NDJSON, A + b"\r\n" + A + b"\r\n", [A + b"\r", A]),
        (Form.NDJSON, b"\xef\xbb\xbf" + A + b"\nbroken", [A, b"broken"]),
    ],
)
def test_the_records_of_a_body(form: Form, body: bytes, records: list[bytes]) -> None:
    """The records come out as the bytes they are, in order."""
    assert list(split(form, body, MAX).records) == records


def test_lines_are_counted_with_the_blank_ones() -> None:
    """An index counts records, a line counts what an editor shows."""
    found = split(Form.NDJSON, b"\n\n1\n   \n2\n\t\r\n3\n\n", MAX)
    assert [record.strip() for record in found.records] == [b"1", b"2", b"3"]
    assert found.lines == [3, 5, 7]


@pytest.mark.parametrize(
    "lone", [rb'"\ud800"', rb'"\ud800 and on"', rb'"\udc00"', rb'"\ud800\u0041"', rb'"\udead\ud83d\ude00"']
)
def test_a_lone_surrogate_is_a_matter_of_its_record(lone: bytes) -> None:
    """One record with half a character must not take its neighbours with it."""
    assert list(split(Form.JSON, b"[" + A + b"," + lone + b" ," + A + b"]", MAX).records) == [A, lone, A]
    assert list(split(Form.JSON, b"[" + lone + b"]", MAX).records) == [lone]
    assert list(split(Form.JSON, b'{"a":' + lone + b"}", MAX).records) == [b'{"a":' + lone + b"}"]


def test_broken_utf8_is_a_matter_of_its_record() -> None:
    """One record with a broken byte must not take its neighbours with it, not even beside a lone surrogate."""
    assert list(split(Form.JSON, b'["\xff",1]', MAX).records) == [b'"\xff"', b"1"]
    assert list(split(Form.JSON, b'["\xff","\\ud800"]', MAX).records) == [b'"\xff"', b'"\\ud800"']


@pytest.mark.parametrize(
    ("form", "body", "code", "said"),
    [
        (Form.JSON, b"", "empty_body", "no record"),
        (Form.JSON, b" \n ", "empty_body", "no record"),
        (Form.JSON, b"[ ]", "empty_body", "no record"),
        (Form.NDJSON, b"", "empty_body", "no record"),
        (Form.NDJSON, b"\n \n\r\n", "empty_body", "no record"),
        (Form.JSON, b"{", "invalid_json", "ends too early, at byte 1"),
        (Form.JSON, b'[{"a": 1}, {"b": 2', "invalid_json", "ends too early, at byte 18"),
        (Form.JSON, b'[{"a": 1} {"b": 2}]', "invalid_json", 'at byte 10, near \'[{"a": 1} {"b": 2}]\''),
        (Form.JSON, b'{"a": NaN}', "invalid_json", "invalid character at byte 6"),
        (Form.JSON, b"[1,]", "invalid_json", "trailing comma in array at byte 3"),
        (
            Form.JSON,
            A + b"\n" + A,
            "invalid_json",
            'at byte 49, near \'xt":"t"}\\n{"unique_id\'; one record a line is application/x-ndjson',
        ),
        (Form.JSON, b"[" * 100_000, "invalid_json", "nested too deeply"),
        (Form.JSON, b"[" * 100_000 + b"]" * 100_000, "invalid_json", "nested too deeply"),
        (Form.JSON, b'{"a":' * 100_000, "invalid_json", "nested too deeply"),
        (Form.JSON, b'["\\ud800",' + b"[" * 100_000 + b"]" * 100_000 + b"]", "invalid_json", "nested too deeply"),
        (Form.JSON, b'["\\ud800"', "invalid_json", "ends too early, at byte 9"),
        (Form.JSON, b'["\\ud8zz"]', "invalid_json", "invalid character in unicode escape at byte 7"),
        (Form.JSON, '{"a":1}'.encode("utf-16"), "invalid_json", "at byte 0"),
        (Form.JSON, b"[" + b"1," * MAX + b"1]", "too_many_records", "more than 100 records"),
        (Form.JSON, b'["\\ud800"' + b",1" * MAX + b"]", "too_many_records", "more than 100 records"),
        (Form.JSON, b"[" + b"1," * 8 * MAX + b"1]", "too_many_records", "more than 100 records"),
        (Form.NDJSON, b"1\n" * (MAX + 1), "too_many_records", "more than 100 lines"),
        (Form.NDJSON, b"1\n" + b"\n" * MAX + b"1", "too_many_records", "more than 100 lines"),
    ],
)
def test_bodies_that_are_refused_whole(form: Form, body: bytes, code: str, said: str) -> None:
    """The refusal says what is wrong and where."""
    with pytest.raises(Refused) as refused:
        split(form, body, MAX)
    assert refused.value.code == code
    assert said in refused.value.detail
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize("body", [b"[" + b"1," * (MAX - 1) + b"1]", b"[" + b'"' + b"," * 9 * MAX + b'"]'])
def test_as_many_records_as_allowed_are_found(body: bytes) -> None:
    """Commas within a text are no records."""
    assert len(split(Form.JSON, body, MAX).records) == len(json.loads(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LONE = st.sampled_from([[], ["\ud800"], ["\udfff x"]])


@given(st.lists(JSON, min_size=1, max_size=10), LONE, st.sampled_from([None, 1]), st.booleans())
def test_an_array_splits_into_what_was_put_in(values, lone, indent, ascii_only) -> None:
    """Whatever its elements are, however they are laid out, and by whichever of the two ways they are found."""
    body = json.dumps(values + lone, indent=indent, ensure_ascii=ascii_only or bool(lone)).encode()
    found = split(Form.JSON, body, MAX).records
    assert [json.loads(record) for record in found] == values + lone
