"""Mistakes that each remove a defence of docs/security.md, in signed commands and in copies on a hub."""

from tests.torture.defence import Mistake

REMOTE = "relay/remote.py"
IN_REMOTE = "tests/relay/test_remote.py::"
REFUSED = (f"{IN_REMOTE}test_a_command_is_refused",)
CHANGED_COPY = (
    "tests/relay/test_signed_heads.py::test_a_copy_that_is_not_what_its_host_has_signed_is_named",
)

OF_HOSTS = (
    Mistake(
        "Nothing is done on a host",
        "relay/signing.py",
        "return done.returncode == 0",
        "return done.returncode is not None",
        REFUSED,
    ),
    Mistake(
        "Nothing is done on a host",
        "relay/signing.py",
        "check_trusted(signers)",
        "str(signers)",
        (f"{IN_REMOTE}test_a_file_of_signers_that_others_may_write_counts_for_nothing",),
    ),
    Mistake(
        "Nothing is done on a host",
        REMOTE,
        "if found.verb != verb or found.host != self._host:",
        "if found.verb != verb:",
        REFUSED,
    ),
    Mistake(
        "Nothing is done on a host",
        REMOTE,
        "if verb not in self._allowed:",
        "if not verb:",
        (f"{IN_REMOTE}test_a_host_does_only_what_its_setting_allows",),
    ),
    Mistake(
        "Nothing is done on a host",
        REMOTE,
        "del self._nonces[found.nonce]\n        repeated",
        "repeated",
        (f"{IN_REMOTE}test_a_command_is_done_once_also_if_two_arrive_at_the_same_time",),
    ),
    Mistake(
        "Nothing is done on a host",
        REMOTE,
        "if self._now() - given > NONCE_SECONDS:",
        "if self._now() < given:",
        (f"{IN_REMOTE}test_a_command_expires",),
    ),
    Mistake(
        "A signed answer allows only",
        "relay/operations.py",
        'if question_digest(read_question(session, number)) != values["question"]:',
        'if not values["question"]:',
        (f"{IN_REMOTE}test_an_answer_counts_only_for_the_question_that_was_seen",),
    ),
    Mistake(
        "A copy on the hub that was changed",
        "relay/check_copies.py",
        "if digest.hexdigest() != head.sha256:",
        "if not digest:",
        CHANGED_COPY,
    ),
    Mistake(
        "A copy on the hub that was changed",
        "relay/check_copies.py",
        "if done < size:",
        "if size < done:",
        CHANGED_COPY,
    ),
    Mistake(
        "A copy on the hub that was changed",
        "relay/heads.py",
        "except nacl.exceptions.BadSignatureError:\n            continue",
        "except nacl.exceptions.BadSignatureError:\n            return True",
        ("tests/relay/test_signed_heads.py::test_a_head_is_signed_for_one_host_and_one_session",),
    ),
)
