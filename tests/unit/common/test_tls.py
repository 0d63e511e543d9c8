"""Why no connection comes about: told apart by looking at the server itself, on real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from common.errors import CannotStart
from common.tls import Way, check_way, presenting, trusting
from localstack.authority import Authority
from localstack.tls_front import Secured, accepting

CA = "TWINSTREAM_KAFKA_CA_FILE"
CERTIFICATE = "TWINSTREAM_KAFKA_CERTIFICATE_FILE"
SWITCH = "TWINSTREAM_KAFKA_TLS=true"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@asynccontextmanager
async def server(
    authority: Authority | None, clients: Authority | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[int]:
    """Answers everybody who gets that far with a dot; over TLS where an authority vouches for it.

    Where `clients` is given, whoever comes must be vouched for by it.
    """
    context = None
    if authority is not None:
        ca_file = None if clients is None else str(clients.ca_file)
        context = accepting(str(authority.certificate), str(authority.key), ca_file)
        context.maximum_version = version

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if context is not None:
            with suppress(ssl.SSLError):
                secured = Secured(context, reader, writer)
                await secured.shake_hands()
                secured.write(b".")
        else:
            writer.write(b".")
        writer.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def plain(_host: str, _port: int) -> bool:
    return True


async def mute(_host: str, _port: int) -> bool:
    return False


def way(port: int, context: ssl.SSLContext | None) -> Way:
    return Way("Kafka", [("127.0.0.1", port)], context, SWITCH, CA, CERTIFICATE)


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
    """Whoever vouches for it, and whether or not it asks who we are: the setting that is missing is named."""
    for clients in (None, ours):
        async with server(ours, clients) as port:
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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_does_not_take_our_certificate(ours: Authority, tmp_path: Path, version) -> None:
    """One that we have not, or of an authority it does not know, though called alike; ours it takes without a word."""
    async with server(ours, ours, version) as port:
        for file in ("", Authority(tmp_path).client):
            told = await refusal(way(port, presenting(trusting(str(ours.ca_file), CA), str(file), CERTIFICATE)))
            assert (told.code, CERTIFICATE in str(told)) == ("tls_certificate_refused", True)
        await check_way(way(port, presenting(trusting(str(ours.ca_file), CA), str(ours.client), CERTIFICATE)), mute)


@pytest.mark.parametrize("file", ["nowhere.pem", "ca.pem", "locked.pem"])
def test_a_file_of_ours_that_cannot_be_used_is_named_with_its_variable(ours: Authority, tmp_path: Path, file) -> None:
    """Not there, without a key, or with one that wants a password, which nobody is asked for."""
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (tmp_path / "locked.pem").write_bytes(locked + ours.certificate.read_bytes())
    (tmp_path / "ca.pem").write_bytes(ours.ca_file.read_bytes())
    with pytest.raises(CannotStart, match=f"{CERTIFICATE}: '{tmp_path / file}' cannot be used: (No such file|no cert)"):
        presenting(trusting("", CA), str(tmp_path / file), CERTIFICATE)
