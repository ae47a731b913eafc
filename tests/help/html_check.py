"""The judge of what may stand in a page: elements, attributes and addresses by literal lists."""

import re
from html.parser import HTMLParser

TAGS = re.compile(
    "a|aside|article|b|blockquote|body|br|button|code|dd|del|details|div|dl|dt|em|footer|form|h1|h2|h3"
    "|head|header|hr|html|input|ins|kbd|label|li|link|main|meta|nav|noscript|ol|option|p|pre|s|script"
    "|section|select|span|strong|summary|table|tbody|td|textarea|th|thead|time|title|tr|ul"
)

ATTRIBUTES = re.compile(
    "action|aria-[a-z]+|autocapitalize|autocomplete|autofocus|charset|class|content|data-[a-z]+|datetime|disabled"
    "|enterkeyhint|for|form|formnovalidate|hidden|href|id|lang|maxlength|media|method|name|open|placeholder|rel"
    "|required|role|rows|selected|spellcheck|src|start|tabindex|target|title|type|value"
)

ADDRESS = re.compile(
    r"https?://[^\s]+|mailto:[^\s]+|#e\d+|\?[a-z]+=\d+|#prompt|#end|/[^/\s][^\s]*|/|static/[a-z0-9._-]+"
)


class Judge(HTMLParser):
    """Reads HTML as a browser would and gathers what has no business there."""

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
        if given.get("target") and given.get("rel") != "noopener noreferrer":
            self.found.append(f"{tag} without rel")

    def handle_data(self, data: str) -> None:
        self.text += data


def judge(html: str) -> Judge:
    """Return the judge after it has read `html`: `found` is empty if all of it is inert."""
    reader = Judge()
    reader.feed(str(html))  # a Markup would escape what is added to it
    reader.close()
    return reader
