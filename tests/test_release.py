"""What is released: the wheel, the sdist, the container, the completions and the man page."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from breakglass import __version__
from breakglass.cli import completion
from breakglass.cli.commands import NAMES
from breakglass.cli.man_page import man_page
from tests.help.servers import environment
from tests.help.waiting import DEADLINE, wait_until

ROOT = Path(__file__).parent.parent
CONTAINERFILE = ROOT / "Containerfile"
NEEDED = (
    "breakglass/cli/breakglass.service",
    "breakglass/web/page/static/app.js",
    "breakglass/web/page/templates/session.html",
    "breakglass/web/page/templates/events/text.html",
)
"""Files that are no modules, without which the program fails."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built from a copy without files that are not part of the project."""
    folder = tmp_path_factory.mktemp("release")
    copy = folder / "copy"
    ignore = shutil.ignore_patterns(".git", ".venv", ".cache", "__pycache__", "var", ".*_cache", "captures")
    shutil.copytree(ROOT, copy, ignore=ignore, symlinks=True)
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (wheel,), (sdist,) = ((folder / "dist").glob(f"*.{kind}") for kind in ("whl", "tar.gz"))
    return wheel, sdist


def test_the_wheel_has_every_file_that_the_program_needs(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert names >= set(NEEDED)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "breakglass").rglob("*.py")}
    assert modules <= names
    assert f"breakglass-{__version__}.data/data/share/man/man1/breakglass.1" in names
    assert not [name for name in names if name.startswith("tests")]


def test_the_sdist_has_the_sources_the_docs_and_the_tests(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*NEEDED, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "requirements.lock"}
    assert names >= {"docs/contract.md", "tests/test_release.py", "Containerfile"}


def test_the_installed_wheel_runs(built: tuple[Path, Path], tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(installed)
    env = {**environment(tmp_path / "var"), "PYTHONPATH": str(installed)}
    run = [sys.executable, "-m", "breakglass"]
    for words, shown in ((["version"], __version__), (["serve", "--help"], "--socket PATH")):
        done = subprocess.run(
            [*run, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert shown in done.stdout


@pytest.mark.torture
def test_the_wheel_installs_into_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    program = tmp_path / "venv" / "bin" / "breakglass"
    subprocess.run([program.with_name("pip"), "install", "-q", built[0]], check=True)
    env = environment(tmp_path / "var")
    shown = subprocess.run(
        [program, "send", "--wait", "echo hello"], env=env, capture_output=True, check=True
    )
    assert b"hello" in shown.stdout
    assert (tmp_path / "venv" / "share" / "man" / "man1" / "breakglass.1").is_file()


# --- the container --------------------------------------------------------------------------------


def test_the_containerfile_is_sound() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_what_the_containerfile_copies_exists() -> None:
    copied = [
        line.split()[1:-1] for line in CONTAINERFILE.read_text().splitlines() if line.startswith("COPY")
    ]
    paths = [path for words in copied if not words[0].startswith("--from") for path in words]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def container_engine() -> str:
    """Return the program that builds and runs containers here, "" without one, or if its daemon does not run."""
    for program in filter(shutil.which, ("podman", "docker")):
        if not subprocess.run([program, "info"], check=False, capture_output=True).returncode:
            return program
    return ""


@pytest.mark.torture
def test_the_image_runs_turns_below_tini_where_podman_or_docker_runs(tmp_path: Path) -> None:
    engine = container_engine()
    if not engine:  # then `test_the_containerfile_is_sound` is all that can be checked
        return
    subprocess.run([engine, "build", "-q", "-t", "breakglass-test", ROOT], check=True, capture_output=True)
    started = subprocess.run(
        [engine, "run", "-d", "--rm", "breakglass-test"], check=True, capture_output=True, text=True
    )
    container = started.stdout.strip()

    def inside(*words: str) -> str:
        done = subprocess.run(
            [engine, "exec", container, *words], check=True, capture_output=True, text=True, timeout=DEADLINE
        )
        return done.stdout

    try:
        assert inside("breakglass", "version").strip() == f"breakglass {__version__}"
        assert "hello" in inside("breakglass", "send", "--agent", "shell", "--wait", "echo hello")
        assert inside("cat", "/proc/1/comm").strip() == "tini"
        health = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8420/health').read())"
        wait_until(
            lambda: '"breakglass"' in inside("python", "-c", f"try:\n {health}\nexcept OSError: pass"), engine
        )
    finally:
        subprocess.run([engine, "rm", "-f", container], check=False, capture_output=True)


# --- completions and man page ---------------------------------------------------------------------


def completed(tmp_path: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of the words."""
    script = tmp_path / "completion.bash"
    script.write_text(completion.bash())
    # Only a function called breakglass, so that no program is started.
    program = "breakglass() { echo '3f2a0000  ✓ ok  now  shell  a title'; }"
    typed = " ".join(f"'{word}'" for word in ("breakglass", *words))
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _breakglass; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    text = f"set -eu\n{program}\nsource {script}\n{ask}"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ar"], ["archive"]),
        (["--data", "x", "ver"], ["verify", "version"]),
        (["--on", "db1", "can"], ["cancel"]),
        (["--on", "db1", "--key", "k", "can"], ["cancel"]),
        (["help", "pru"], ["prune"]),
        (["prune", "--o"], ["--older-than"]),
        (["prune", "--older-than", ""], []),
        (["token", "r"], ["rotate"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["rm", "3"], ["3f2a0000"]),
        (["do", "disks", "--session", ""], ["3f2a0000"]),
        (["answer", "d"], ["deny"]),
        (["serve", "--tls-cert", "comp"], ["completion.bash"]),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], offered: list[str]) -> None:
    assert completed(tmp_path, *words) == offered


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_completion_names_every_command_and_option(shell: str) -> None:
    script = completion.SHELLS[shell]()
    for row in completion.rows():
        assert row.name in script
        for flag in row.flags:
            in_fish = f"-l {flag.name[2:]} " if flag.name.startswith("--") else f"-s {flag.name[1:]} "
            assert (in_fish if shell == "fish" else flag.name) in script
    assert [line for line in script.splitlines() if "\t" in line] == []


def test_fish_completes(tmp_path: Path) -> None:
    (tmp_path / "completion.fish").write_text(completion.fish())
    offered = {
        "ar": ["archive"],
        "--data x ver": ["verify", "version"],
        "--on db1 can": ["cancel"],
        "--on db1 --identity key.pub can": ["cancel"],
        "help pru": ["prune"],
        "prune --o": ["--older-than"],
        "prune --older-than ": [],
        "token r": ["rotate"],
        "completion ": ["bash", "fish", "zsh"],
        "rm 3": ["3f2a0000"],
        "send log --af": [],  # `log` is no command here
        "serve --tls-cert comp": ["completion.fish"],
    }
    lines = ["function breakglass; echo '3f2a0000  ✓ ok  now  shell  a title'; end", "source completion.fish"]
    lines += [f"complete -C 'breakglass {typed}'; echo ." for typed in offered]
    done = subprocess.run(
        ["fish", "--no-config", "-c", "\n".join(lines)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = [part.split("\n")[:-1] for part in done.stdout.split(".\n")]
    names = [sorted(line.partition("\t")[0] for line in lines) for lines in found[:-1]]
    assert dict(zip(offered, names, strict=True)) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_accept_their_scripts(shell: str, tmp_path: Path) -> None:
    script = tmp_path / shell
    script.write_text(completion.SHELLS[shell]())
    subprocess.run([shell, "-n", script], check=True)


def test_the_man_page_names_every_command_and_is_sound(tmp_path: Path) -> None:
    page = man_page()
    assert all(f"\n.SS breakglass {name.replace('-', chr(92) + '-')}" in page for name in NAMES)
    bad = [
        line
        for line in page.splitlines()
        if line[:1] == "'" or (line[:1] == "." and not line[1:2].isupper() and line[:3] not in (".nf", ".fi"))
    ]
    assert bad == []
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Tutf8", "-Kutf8"],
            input=page.encode(),
            capture_output=True,
            check=True,
            env={"PATH": os.environ["PATH"]},
        )
        assert done.stderr == b""
