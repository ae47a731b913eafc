"""The heart of Breakglass: its modules, the tests nearest to each, and mistakes that tests once did not notice."""

from typing import NamedTuple

NEAREST = {
    "kinds": "store/test_io_order test_events test_verify",
    "store/log": "store/test_io_order store/test_log_ends store/test_log store/test_reserved_space store/test_seals",
    "store/loglock": "store/test_io_order store/test_log store/test_lock_holders",
    "store/repair": "store/test_io_order store/test_repair",
    "store/root": "store/test_io_order store/test_root",
    "store/sessions": "store/test_io_order store/test_sessions store/test_root turns/test_torn_handover",
    "store/turnlock": "store/test_turnlock turns/test_io_order turns/test_copies store/test_lock_holders "
    "store/test_read_only turns/test_confinement::"
    "test_a_process_of_the_same_user_finds_a_runner_whose_environment_is_hidden",
    "turns/answer": "turns/test_io_order turns/test_find_question turns/test_questions turns/test_answers "
    "turns/test_repeated",
    "turns/begin": "turns/test_io_order turns/test_queue turns/test_turns turns/test_repeated "
    "turns/test_queue_and_lost_turns turns/test_stopped turns/test_left_queue "
    "turns/test_budget::test_over_the_budget_of_a_day_a_prompt_needs_a_confirmation_and_a_command_line_does_not "
    "vitals/test_vitals::test_each_prompt_records_the_signs_unless_the_settings_say_no "
    "turns/test_sandbox::test_only_root_gives_the_agent_another_user",
    "turns/child": "turns/test_child turns/test_runner "
    "turns/test_sandbox::test_a_stop_reaches_the_command_as_a_signal",
    "turns/conversation": "turns/test_conversation turns/test_runner turns/test_quiet turns/test_actions",
    "turns/end": "turns/test_io_order turns/test_lost_turns turns/test_ends turns/test_stops turns/test_repeated "
    "turns/test_stopped turns/test_unwritable",
    "turns/ending": "turns/test_ending",
    "turns/processes": "turns/test_child turns/test_processes turns/test_stops "
    "cli/test_starters::test_only_a_negative_oom_score_is_raised "
    "turns/test_runner::test_a_process_that_forks_and_exits_all_the_time_does_not_survive_the_turn",
    "turns/record": "turns/test_record turns/test_io_order turns/test_questions turns/test_runner",
    "turns/runner": "turns/test_io_order turns/test_runner turns/test_queue "
    "turns/test_turns::test_an_exception_in_the_runner_is_recorded_and_ends_the_turn "
    "turns/test_turns::test_processes_that_a_command_leaves_running_are_killed_and_named "
    "turns/test_actions::test_actions_that_run_before_another_stop_nothing",
    "turns/start": "turns/test_job turns/test_io_order turns/test_runner",
}
"""The tests of each module, in the order in which they run: a file, or one test of it. The first failure ends a run."""


def path_of(name: str) -> str:
    """Return the path of tests, as pytest takes it."""
    file, separator, test = name.partition("::")
    return f"tests/{file}.py{separator}{test}"


ONLY = {"kinds": ("ReplaceTrueWithFalse",), "store/root": ("RemoveCall",)}
"""The operators of a module that does not get all."""


class Mistake(NamedTuple):
    """A mistake of one line. `old` occurs once in the module."""

    module: str
    old: str
    new: str


MISTAKES = (
    Mistake("store/loglock", "if not self._depth:\n            fcntl", "if True:\n            fcntl"),
    Mistake(
        "store/turnlock",
        "for fd in self.fds:\n                f",
        "for fd in self.fds[:1]:\n                f",
    ),
    Mistake(
        "store/turnlock",
        "for fd in self.fds:\n                f",
        "for fd in self.fds[1:]:\n                f",
    ),
    Mistake("turns/child", "0 if self.exited_at else self._process.pid", "0"),
    Mistake("turns/child", "self._process.wait()", "self._process.returncode = os.waitpid(-1, 0)[1] >> 8"),
    Mistake("turns/child", "if not self.exited_at:  # the agent", "if True:  # the agent"),
    Mistake("turns/processes", "dead.si_pid == keep", "dead.si_pid != keep"),
    Mistake("turns/record", 'event.get("turn") == self.turn', "True"),
)
"""Mistakes that once survived. The others of that kind are made by the operators that are never sampled."""
