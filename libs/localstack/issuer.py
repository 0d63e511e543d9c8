"""An OIDC issuer on this machine, for tests: its documents over HTTP, good tokens and every forgery that we know of."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from localstack.profile import HOST

_KEY: Final = "current"
_LATER_S: Final = 3600


class Issuer:
    """What it publishes at `url`, and tokens of any kind."""

    audience = "twinstream"

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.key = _fresh_key()
        self.stranger = _fresh_key()

    def documents(self) -> dict[str, Any]:
        """What it publishes, by path."""
        published = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [published | {"kid": _KEY, "use": "sig", "alg": "RS256"}]},
        }

    def token(
        self, *, key: rsa.RSAPrivateKey | None = None, kid: str = _KEY, algorithm: str = "RS256", **claims: object
    ) -> str:
        """A token that is good, but for what is said to be otherwise; a claim that is None is left out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": self.audience, "sub": "someone", "iat": now, "exp": now + 600}
        told = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(told, key or self.key, algorithm=algorithm, headers={"kid": kid})

    def forgeries(self, scope: str) -> dict[str, str]:
        """Tokens with `scope` that must open nothing, by what is wrong with them."""
        now = int(time.time())
        header, payload, signature = self.token(scope=scope).split(".")
        anothers = self.token(scope=scope, sub="another").split(".")[1]
        return {
            "expired": self.token(scope=scope, exp=now - _LATER_S),
            "not yet valid": self.token(scope=scope, nbf=now + _LATER_S),
            "never expires": self.token(scope=scope, exp=None),
            "of another issuer": self.token(scope=scope, iss="https://elsewhere.example"),
            "for another audience": self.token(scope=scope, aud="elsewhere"),
            "for nobody in particular": self.token(scope=scope, aud=None),
            "of nobody": self.token(scope=scope, sub=None),
            "signed by a stranger": self.token(scope=scope, key=self.stranger),
            "of an unknown key": self.token(scope=scope, kid="former"),
            "by an algorithm that the key is not for": self.token(scope=scope, algorithm="PS256"),
            "not signed": f"{_with_algorithm(header, 'none')}.{payload}.",
            "signed with the public key as a password": self._signed_with_password(header, payload),
            "with another's claims": f"{header}.{anothers}.{signature}",
            "cut off": f"{header}.{payload}.",
            "nonsense": "a.b.c",
        }

    def _signed_with_password(self, header: str, payload: str) -> str:
        """What PyJWT itself refuses to make."""
        password = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signed = f"{_with_algorithm(header, 'HS256')}.{payload}"
        return f"{signed}.{_encode(hmac.digest(password, signed.encode(), 'sha256'))}"


@contextmanager
def answering_issuer() -> Iterator[Issuer]:
    """An issuer whose documents can be fetched."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.documents()[self.path]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
            """A fetch is not an event."""

    with ThreadingHTTPServer((HOST, 0), Answering) as server:
        issuer = Issuer(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="issuer", daemon=True)
        thread.start()
        yield issuer
        server.shutdown()
        thread.join()


def _fresh_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _with_algorithm(header: str, algorithm: str) -> str:
    content = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    return _encode(json.dumps({**content, "alg": algorithm}).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
