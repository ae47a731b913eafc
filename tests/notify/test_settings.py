"""`[[notify]]` in the settings file: mistakes are named, and no error shows an address."""

import pytest

from breakglass.errors import BadConfig
from tests.help.settings_files import WriteFile, empty_folder, load, write_file

__all__ = ["empty_folder", "write_file"]  # fixtures


def test_the_defaults_are_those_of_the_documentation(write_file: WriteFile) -> None:
    written = write_file('[[notify]]\nurl = "ntfys://topic"\n')
    (notify,) = load(path=written).notify
    assert (notify.on, notify.after_seconds, notify.detail, notify.quiet_hours) == (
        ("question", "failed", "lost", "ended", "degraded", "login"),
        60.0,
        "title",
        None,
    )
    assert (notify.name, notify.service) == ("notify[0]", "ntfys")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "expected exactly one of url, url_file, url_env and push"),
        ('url = "ntfys://t"\nurl_env = "X"', "expected exactly one of url, url_file, url_env and push"),
        ('url = "no address 5ecret"', "expected an address"),
        ('url = "ntfys://5ecret"\non = ["lunch"]', "expected a list of question, failed"),
        ('url = "ntfys://5ecret"\ndetail = "all"', '"none", "title" or "full"'),
        ('url = "ntfys://5ecret"\nquiet_hours = "22-7"', "such as 22:00-07:00"),
        ('url = "ntfys://5ecret"\nquiet_hours = "07:00-07:00"', "two different times"),
        ('url = "ntfys://5ecret"\nafter_seconds = 9\non = ["lost"]', 'only with "ended" in on'),
        ('url = "ntfys://5ecret"\nafter_secs = 9', "did you mean after_seconds?"),
    ],
)
def test_a_mistake_is_named_without_the_address(write_file: WriteFile, table: str, said: str) -> None:
    written = write_file(f"[[notify]]\n{table}\n")
    with pytest.raises(BadConfig) as caught:
        load(path=written)
    assert "notify[0]" in str(caught.value)
    assert said in str(caught.value)
    assert "5ecret" not in str(caught.value)


def test_an_address_is_not_in_the_text_of_the_settings(write_file: WriteFile) -> None:
    written = write_file('[[notify]]\nurl = "ntfys://5ecret"\n')
    assert "5ecret" not in repr(load(path=written))


def test_the_environment_cannot_hold_notifications() -> None:
    with pytest.raises(BadConfig, match="only in the file"):
        load({"BREAKGLASS_NOTIFY": "x"})
