"""An issuer's tokens, when its keys change, when it is away, and when it is not who it says."""

import asyncio
import threading
from typing import Any

import pytest

from common.contracts import Scope
from common.errors import CannotStart, Refused
from common.http import oidc
from common.http.oidc import IssuerTokens
from common.settings import HttpSettings


class Published:
    """The issuer's documents, as they can be fetched; counts how often they are."""

    def __init__(self, issuer: Any) -> None:
        self.documents = {issuer.url + path: document for path, document in issuer.documents().items()}
        self.fetched: list[str] = []
        self.away = False

    def __call__(self, url: str) -> Any:
        self.fetched.append(url)
        if self.away:
            raise OSError("away")
        return self.documents[url]


@pytest.fixture
def published(issuer) -> Published:
    return Published(issuer)


def settings(issuer, **more: object) -> HttpSettings:
    return HttpSettings(oidc_issuer=issuer.url, oidc_audience=issuer.audience, **more)


async def test_a_good_token_has_its_scopes(issuer, published) -> None:
    """Those that are ours, out of words or a list, under the prefix that is set; the caller's id is always the same."""
    tokens = IssuerTokens(settings(issuer), published)
    caller = await tokens.caller_of(issuer.token(scope="openid read twinstream:admin"))
    assert (caller.name, set(caller.scopes)) == ("someone", {Scope.READ})
    assert (await tokens.caller_of(issuer.token(scope="ingest"))).id == caller.id
    assert (await tokens.caller_of(issuer.token(sub="another"))).id != caller.id
    prefixed = settings(issuer, oidc_scope_claim="roles", oidc_scope_prefix="twinstream:")
    caller = await IssuerTokens(prefixed, published).caller_of(issuer.token(roles=["twinstream:admin", "read"]))
    assert set(caller.scopes) == {Scope.ADMIN}


async def test_every_forgery_is_refused_with_a_reason(issuer, published) -> None:
    """And none of the reasons holds any of the token."""
    tokens = IssuerTokens(settings(issuer), published)
    for name, token in issuer.forgeries("read").items():
        with pytest.raises(Refused, match="The token is not valid") as refused:
            await tokens.caller_of(token)
        assert refused.value.code == "unauthenticated", name
        assert not [part for part in token.split(".") if len(part) > 8 and part in refused.value.detail]


async def test_keys_are_fetched_once_and_again_for_a_new_one(issuer, published, monkeypatch) -> None:
    """Not for each token of a stranger: that would let anyone make us flood the issuer."""
    tokens = IssuerTokens(settings(issuer), published)
    for _ in range(3):
        await tokens.caller_of(issuer.token())
    assert len(published.fetched) == 2  # the discovery document and the keys
    turned = issuer.token(kid="next")
    with pytest.raises(Refused, match="not published"):
        await tokens.caller_of(turned)
    assert len(published.fetched) == 2
    monkeypatch.setattr(oidc, "_AT_MOST_EVERY_S", 0.0)
    (key,) = published.documents[issuer.url + "/keys"]["keys"]
    published.documents[issuer.url + "/keys"] = {"keys": [key, key | {"kid": "next"}]}
    assert (await tokens.caller_of(turned)).name == "someone"


async def test_known_keys_outlast_the_issuer(issuer, published, monkeypatch) -> None:
    """An issuer that is away locks nobody out whose key is known; without any, nobody is let in."""
    monkeypatch.setattr(oidc, "_AT_MOST_EVERY_S", 0.0)
    tokens, fresh = IssuerTokens(settings(issuer), published), IssuerTokens(settings(issuer), published)
    await tokens.caller_of(issuer.token())
    published.away = True
    monkeypatch.setattr(oidc, "_FRESH_FOR_S", 0.0)
    assert (await tokens.caller_of(issuer.token())).name == "someone"
    with pytest.raises(Refused, match="not published"):
        await fresh.caller_of(issuer.token())


async def test_an_issuer_that_hangs_keeps_one_waiting_at_most(issuer, published, monkeypatch) -> None:
    """Whose key is known is let in while another's request asks for the keys anew."""
    monkeypatch.setattr(oidc, "_AT_MOST_EVERY_S", 0.0)
    asked, answered = threading.Event(), threading.Event()
    tokens = IssuerTokens(settings(issuer), published)
    await tokens.caller_of(issuer.token())

    def hanging() -> Any:
        asked.set()
        answered.wait(60)
        return tokens._keys

    monkeypatch.setattr(oidc, "_FRESH_FOR_S", 0.0)
    monkeypatch.setattr(tokens, "_published", hanging)
    first = asyncio.create_task(tokens.caller_of(issuer.token()))
    await asyncio.to_thread(asked.wait, 60)
    assert (await asyncio.wait_for(tokens.caller_of(issuer.token()), 30)).name == "someone"
    assert not first.done()
    answered.set()
    assert (await first).name == "someone"


async def test_a_discovery_document_of_another_is_not_believed(issuer, published) -> None:
    """Nor one that sends us to where anyone may change the keys on their way."""
    place = issuer.url + "/.well-known/openid-configuration"
    honest = published.documents[place]
    for lie in ({"issuer": "https://elsewhere.example"}, {"jwks_uri": "http://elsewhere.example/keys"}):
        published.documents[place] = {**honest, **lie}
        with pytest.raises(Refused, match="not published"):
            await IssuerTokens(settings(issuer), published).caller_of(issuer.token())


def test_an_issuer_is_asked_over_https_alone() -> None:
    """But on this machine."""
    with pytest.raises(CannotStart, match="https"):
        IssuerTokens(HttpSettings(oidc_issuer="http://issuer.example", oidc_audience="x"))
