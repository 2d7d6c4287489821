"""Hosts whose certificate has expired, or is of another host: refused, unless the operator says otherwise."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from storage.records import Note, Reason
from tasks.web.http import open_web
from tasks.web.limits import FetchLimits
from tests.tasks.web.origin import Told, response

PATIENT = FetchLimits(connect_s=60, silence_s=60)
LENIENT = replace(PATIENT, bad_certificates=True)
LOOPBACK = (ip_network("127.0.0.1/32"),)


def context_of(folder: Path, name: str, until: datetime) -> ssl.SSLContext:
    """A server's side of TLS with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(datetime(2010, 1, 1, tzinfo=UTC)).not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{name}.pem"
    file.write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def served(context: ssl.SSLContext, reply: bytes) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client did not like the certificate
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


Make = Callable[[Path], ssl.SSLContext]
NEXT_YEAR = datetime.now(UTC) + timedelta(days=365)
BAD: dict[str, Make] = {
    "expired": lambda folder: context_of(folder, "a.example", datetime(2014, 1, 1, tzinfo=UTC)),
    "of another host": lambda folder: context_of(folder, "b.example", NEXT_YEAR),
    "signed by itself": lambda folder: context_of(folder, "a.example", NEXT_YEAR),
}


@pytest.mark.case(17)
@pytest.mark.parametrize("kind", BAD)
async def test_a_picture_behind_a_bad_certificate_is_taken_with_a_mark_if_the_operator_says_so(
    tmp_path: Path, kind: str
) -> None:
    resolver = Told(a_example=[["127.0.0.1"]])
    async with served(BAD[kind](tmp_path), response(b"picture")) as port:
        async with open_web(PATIENT, allowed=LOOPBACK, resolver=resolver) as web:
            refused = await web.get(f"https://a.example:{port}/")
        async with open_web(LENIENT, allowed=LOOPBACK, resolver=resolver) as web:
            taken = [await web.get(f"https://a.example:{port}/") for _ in range(2)]
    assert (refused.reason, refused.notes) == (Reason.TLS, frozenset())
    for answer in taken:
        assert (answer.data, answer.notes) == (b"picture", frozenset({Note.BAD_CERTIFICATE}))


async def test_an_answer_in_plain_http_on_a_tls_port_stays_a_failure_of_tls(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"picture"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolver = Told(a_example=[["127.0.0.1"]])
    async with server, open_web(LENIENT, allowed=LOOPBACK, resolver=resolver) as web:
        assert (await web.get(f"https://a.example:{port}/")).reason is Reason.TLS
