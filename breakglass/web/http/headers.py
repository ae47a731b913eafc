"""The headers that every response carries, whether the application, the guard or Hypercorn wrote it."""

from breakglass.web.http.asgi import Headers

UNUSED_FEATURES = (
    b"accelerometer camera display-capture geolocation gyroscope hid magnetometer microphone midi "
    b"payment serial usb"
).split()
"""What no page of ours asks a browser for, so a script that got in cannot either."""

SECURITY_HEADERS: Headers = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
            b"connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
            b"base-uri 'none'; frame-ancestors 'none'; "
            b"require-trusted-types-for 'script'; trusted-types breakglass"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""On every response; static scripts and style sheets have no use for some of them. Strict-Transport-Security
is left out: it locks users out once a certificate has expired."""

NO_STORE_HEADERS: Headers = [*SECURITY_HEADERS, (b"cache-control", b"no-store")]
"""On every response that a browser must not keep: all but static files."""

PERMISSIONS_POLICY = (b"permissions-policy", b", ".join(b"%b=()" % name for name in UNUSED_FEATURES))
"""On every HTML page. It concerns documents only, and a page loads many small files."""
