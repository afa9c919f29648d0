"""A self-signed certificate and the TLS settings of a server that has it."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def make_certificate(folder: Path, require: Callable[[str], NoReturn], names: str = "IP:127.0.0.1") -> Path:
    """Return a file with a fresh key and a certificate for these names, in the words of openssl."""
    if not shutil.which("openssl"):
        require("openssl is missing: it makes the certificate")
    path, key, cert = folder / "both.pem", folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    path.write_bytes(key.read_bytes() + cert.read_bytes())
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
