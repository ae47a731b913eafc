"""A QR code on the terminal, for a phone to scan."""

import sys


def show_qr(text: str) -> None:
    """Print `text` as a QR code."""
    import segno  # imported only here: most commands show no code

    segno.make(text, error="l", micro=False).terminal(out=sys.stdout, border=2, compact=True)
    sys.stdout.flush()
