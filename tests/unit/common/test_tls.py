"""Why no connection comes about: told apart by looking at the server itself, on real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.errors import CannotStart
from common.tls import Way, check_way, trusting
from localstack.authority import Authority

CA = "TWINSTREAM_KAFKA_CA_FILE"
SWITCH = "TWINSTREAM_KAFKA_TLS=true"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@asynccontextmanager
async def server(authority: Authority | None) -> AsyncIterator[int]:
    """Answers everybody who gets that far with a dot; over TLS where an authority vouches for it."""
    context = None
    if authority is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.certificate, authority.key)

    async def answering(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b".")
        writer.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]


async def plain(_host: str, _port: int) -> bool:
    return True


async def mute(_host: str, _port: int) -> bool:
    return False


def way(port: int, context: ssl.SSLContext | None) -> Way:
    return Way("Kafka", [("127.0.0.1", port)], context, SWITCH, CA)


async def refusal(way: Way, plainly=mute) -> CannotStart:
    with pytest.raises(CannotStart) as refused:
        await check_way(way, plainly)
    return refused.value


async def test_who_is_trusted_is_not_complained_of(ours: Authority) -> None:
    """By an authority whose file is named."""
    async with server(ours) as port:
        await check_way(way(port, trusting(str(ours.ca_file), CA)), plain)


async def test_an_unknown_authority_is_told_with_the_setting_that_names_ours(ours: Authority, tmp_path: Path) -> None:
    """Of another file, or of those that this machine trusts."""
    others = Authority(tmp_path)
    async with server(ours) as port:
        for ca_file in (str(others.ca_file), ""):
            told = await refusal(way(port, trusting(ca_file, CA)))
            assert told.code == "tls_untrusted"
            assert f"Kafka at 127.0.0.1:{port}" in str(told)
            assert CA in str(told)


async def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    """Whoever has one of the same authority could stand in for the server."""
    elsewhere = Authority(tmp_path, host="elsewhere.example")
    async with server(elsewhere) as port:
        told = await refusal(way(port, trusting(str(elsewhere.ca_file), CA)))
    assert (told.code, "not valid for" in str(told)) == ("tls_untrusted", True)


async def test_a_server_that_speaks_tls_where_we_do_not(ours: Authority) -> None:
    """Whoever vouches for it: the setting that is missing is named."""
    async with server(ours) as port:
        told = await refusal(way(port, None))
    assert (told.code, SWITCH in str(told)) == ("tls_expected", True)


async def test_a_server_that_speaks_no_tls_where_we_do(ours: Authority) -> None:
    """Told only if it answers in its own protocol: one that merely hangs up may be on its way."""
    async with server(None) as port:
        asked = way(port, trusting(str(ours.ca_file), CA))
        assert (await refusal(asked, plain)).code == "tls_not_spoken"
        await check_way(asked, mute)


async def test_who_is_away_may_come(ours: Authority, unused_tcp_port: int) -> None:
    """With TLS or without."""
    for context in (None, trusting(str(ours.ca_file), CA)):
        await check_way(way(unused_tcp_port, context), mute)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_none_is_named_with_its_variable(tmp_path: Path, content: str | None) -> None:
    """Not there, or without a certificate."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CannotStart, match=f"{CA}: '{path}' cannot be used: (No such file|no certificate)"):
        trusting(str(path), CA)
