"""Strategies for text and JSON values that an agent may print."""

from hypothesis import strategies as st

ODD_TEXT = st.text(
    st.sampled_from('a"\\/{}[]:,\0\t\n\r\x1b\x7f\x80\x85\x9b\u2028\u2029\ud800\udfff\ufeff\ufffe😀é')
    | st.characters(codec=None)
)
"""Any text, often with lone surrogates, NUL, C1 controls and line separators."""

NUMBERS = st.integers() | st.floats(allow_nan=True, allow_infinity=True)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=20,
)
