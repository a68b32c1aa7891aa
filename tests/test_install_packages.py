"""`.ci/install_packages`, with a program in place of apt-get that lacks one of the packages."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT

BASH = shutil.which("bash")

# Writes what it is asked to install; this distribution has no chromium.
APT_GET = """#!{bash}
[ "${{@: -1}}" = chromium ] && {{ echo "E: Unable to locate package chromium" >&2; exit 100; }}
echo "$*" >> {log}
"""


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_a_package_that_the_distribution_lacks_does_not_prevent_the_others(tmp_path):
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    for name, text in (("apt-get", APT_GET.format(bash=BASH, log=log)), ("id", f"#!{BASH}\necho 0\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    command = [BASH, str(ROOT / ".ci" / "install_packages")]
    run = subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False)
    calls = log.read_text().splitlines()
    assert calls[0].endswith(" update")
    assert {"qemu-user", "zsh"} <= {call.split()[-1] for call in calls[1:]}
    assert all("Acquire::http::Timeout=30" in call for call in calls)
    assert "apt-get install zsh" in run.stdout.splitlines()
    assert run.returncode == 1
    unknown, summary = run.stderr.splitlines()
    assert unknown == "E: Unable to locate package chromium"
    assert summary == "Not installed: chromium. Some tests are skipped."
