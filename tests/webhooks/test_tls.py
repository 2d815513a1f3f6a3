"""Webhooks over TLS, as nearly all of them go: only to who can prove the name that the URL says."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from servers import serving
from stranger import stranger


def certificate(folder, name, *, host):
    """A server's TLS for this address, and the file with the certificate, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    path.write_bytes(signed.public_bytes(pem))
    plain = serialization.NoEncryption()
    key_path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return context, path


def test_only_who_proves_its_name_is_told(tmp_path):
    right, known = certificate(tmp_path, "right", host="127.0.0.1")
    other, known_too = certificate(tmp_path, "other", host="127.0.0.2")
    unknown, _ = certificate(tmp_path, "unknown", host="127.0.0.1")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(known.read_bytes() + known_too.read_bytes())
    flags = ("--workers", "0", "--webhook-private-networks", "127.0.0.0/8")
    with (
        stranger(tls=right) as there,
        stranger(tls=other) as misnamed,
        stranger(tls=unknown) as unproven,
        serving(tmp_path / "data", *flags, env={"SSL_CERT_FILE": str(bundle)}) as server,
        server.client() as client,
    ):

        def test(url):
            made = client.webhooks.create(name="n", url=url, event_types=["eval.run.failed"])
            return client.webhooks.test(made.id, event_type="eval.run.failed").status_code

        assert test(there.url) == 200
        for each in (misnamed, unproven):
            with pytest.raises(openai.BadRequestError, match="certificate is not valid"):
                test(each.url)
            assert each.received == []
