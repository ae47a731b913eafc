"""`python -m tests.docs` writes every generated page and section that is stale."""

from tests.docs.pages import GENERATED, is_stale, write

for row in GENERATED:
    if is_stale(row):
        write(row)
        print(f"{row.file}: written" + (f" ({row.section})" if row.section else ""))
