"""The certificate authorities in ``SSL_CERT_FILE``, and errors of certificates."""

from __future__ import annotations

import os
import ssl

from ..errors import InvalidArgument


def check_certificate_file() -> None:
    """Check ``SSL_CERT_FILE``. OpenSSL would ignore an unusable file and reject every server.

    Raises:
        InvalidArgument: The file is unusable. The message names the variable.
    """
    if path := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except OSError as exc:  # also ssl.SSLError
            raise InvalidArgument(
                f"SSL_CERT_FILE={path!r} is not a readable file of PEM certificates ({exc}); correct or unset it"
            ) from exc


def is_certificate_error(exc: BaseException | None) -> bool:
    """Return whether the server's certificate was rejected, so that a retry cannot help."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        seen.add(id(exc))
        exc = exc.__cause__ or exc.__context__
    return False
