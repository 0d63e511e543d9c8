"""Secrets of destinations, sealed for the log: AES-256-GCM under a key made from TWINSTREAM_SECRET.

What is sealed for one name cannot be opened under another, so no entry of control can be given another's secret.
"""

import binascii
import hmac
import secrets
from base64 import b64decode, urlsafe_b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import Refused

_VERSION: Final = "v1:"
_NONCE_BYTES: Final = 12


class Seal:
    """Seals and opens; all processes that share the secret open what any of them sealed."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret, b"twinstream/destinations", "sha256"))

    def seal(self, name: str, plain: str) -> str:
        """`plain` as a text that tells nothing, to be opened under `name` alone."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plain.encode(), name.encode())
        return _VERSION + urlsafe_b64encode(nonce + sealed).decode()

    def open(self, name: str, sealed: str) -> str:
        """What `seal` was given.

        Raises:
            Refused: sealed_otherwise: under another secret, for another name, or changed since.
        """
        try:
            raw = b64decode(sealed.removeprefix(_VERSION), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], name.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Refused(
                "sealed_otherwise", "Its secret was sealed under another TWINSTREAM_SECRET: set the secret anew."
            ) from None
