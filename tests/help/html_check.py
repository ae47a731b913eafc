"""Checks HTML against literal lists of the elements, attributes and addresses that a page may contain."""

import re
from html.parser import HTMLParser

TAGS = re.compile(
    "a|aside|article|b|blockquote|body|br|button|code|dd|del|details|div|dl|dt|em|footer|form|h1|h2|h3|h4"
    "|head|header|hr|html|i|img|input|ins|kbd|label|li|link|main|meta|nav|noscript|ol|option|p|pre|s|script"
    "|section|select|span|rect|strong|summary|svg|table|tbody|td|textarea|th|thead|time|title|tr|ul"
)

ATTRIBUTES = re.compile(
    "accept|action|alt|aria-[a-z]+|autocapitalize|autocomplete|autofocus|capture|charset|class|content|data-[a-z]+|datetime|dir|disabled|download|enctype"
    "|enterkeyhint|for|form|formnovalidate|height|hidden|href|id|inputmode|lang|loading|max|maxlength|media|method|min|multiple|name|open|pattern|placeholder|preserveaspectratio|rel"
    "|required|role|rows|scope|selected|spellcheck|src|start|step|tabindex|target|title|type|value|viewbox|width|x|y"
)

ADDRESS = re.compile(
    r"\.\./sessions/[0-9a-f-]{36}#end|https?://[^\s]+|mailto:[^\s]+|#e\d+|\?[a-z]+=\d+(?:&show=[a-z]+)?(?:#prompt|#e\d+)?|#prompt|#end|/[^/\s][^\s]*|/|static/[a-z0-9._-]+"
)


class HtmlChecker(HTMLParser):
    """Parses HTML and collects in `found` what is not allowed, and in `text` and `tags` its content."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if not TAGS.fullmatch(tag):
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name, _ in attrs if not ATTRIBUTES.fullmatch(name)]
        given = dict(attrs)
        for name in ("href", "src", "action"):
            if (address := given.get(name)) is not None and not ADDRESS.fullmatch(address):
                self.found.append(f"{tag} {name}={address}")
        if tag == "img" and not re.fullmatch(r"\?file=\d+", given.get("src") or ""):
            self.found.append(f"img src={given.get('src')}")
        if given.get("target") and given.get("rel") != "noopener noreferrer":
            self.found.append(f"{tag} without rel")

    def handle_data(self, data: str) -> None:
        self.text += data


def check_html(html: str) -> HtmlChecker:
    """Return the checker after it has parsed `html`. Its `found` is empty if the page is harmless."""
    checker = HtmlChecker()
    checker.feed(str(html))  # a Markup object would escape what is added to it
    checker.close()
    return checker
