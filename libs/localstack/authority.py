"""An authority of our own that vouches for servers on this machine, for tests, in files as servers take them."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from localstack.profile import HOST

_VALID: Final = timedelta(days=2)


class Authority:
    """Its certificate at `ca_file`, one for a server that is called `host`, with its key, and one for clients."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        self.both = folder / "server-with-key.pem"
        self.client = folder / "client-with-key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("authority of a test")
        ca = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca_file.write_bytes(ca.sign(key, SHA256()).public_bytes(Encoding.PEM))
        secret, certificate = self._issued(host, name, key)
        contents = {self.certificate: certificate, self.key: secret, self.both: secret + certificate}
        for path, content in (contents | {self.client: b"".join(self._issued("twinstream", name, key))}).items():
            path.touch(mode=0o600)
            path.write_bytes(content)

    @staticmethod
    def _issued(called: str, issuer: x509.Name, by: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
        """A key, and the certificate that goes with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(_name(called), issuer, key).add_extension(_called(called), critical=False)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return secret, certificate.sign(by, SHA256()).public_bytes(Encoding.PEM)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )


def _called(host: str) -> x509.SubjectAlternativeName:
    """An address stands in a certificate as an address, or clients do not find it."""
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
