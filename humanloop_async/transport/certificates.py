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
    return isinstance(_ssl_error(exc), ssl.SSLCertVerificationError)


def tls_error(exc: BaseException | None) -> str | None:
    """Return why TLS failed; None if it did not. `SSLError` has numbers that are not those of `os.strerror`."""
    error = _ssl_error(exc)
    if error is None:
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was rejected: {getattr(error, 'verify_message', type(error).__name__)}"
    reason = getattr(error, "reason", None) or type(error).__name__
    return f"TLS failed: {reason.replace('_', ' ').lower()}"


def _ssl_error(exc: BaseException | None) -> ssl.SSLError | None:
    """Return the original error of TLS among an exception and its causes: aiohttp's have its class, but no reason."""
    found: ssl.SSLError | None = None
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        if isinstance(exc, ssl.SSLError):
            found = exc
        seen.add(id(exc))
        exc = exc.__cause__ or exc.__context__
    return found
