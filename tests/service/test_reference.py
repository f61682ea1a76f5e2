"""The documents that are held against the code."""
import os
import re
import subprocess

from lib.paths import BIN, ROOT

SERVICES = ("gateway", "processor", "notifier")


def test_options_and_metrics_are_documented_as_they_are():
    done = subprocess.run([ROOT / "script/reference", "--check"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "POSTBACK_BIN": str(BIN)})
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_options_and_metrics_mean_is_said_in_sentences():
    for page in ("configuration", "metrics"):
        rows = re.findall(r"^\| `.* \| (\S[^|]*(?:\\\|[^|]*)*) \|$", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"),
                          re.MULTILINE)
        assert len(rows) > 20
        assert [row for row in rows if not row.endswith(".")] == []


def test_every_link_between_documents_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_service_has_help_and_a_version():
    for service in SERVICES:
        for flag, word in (("--help", "Usage: postback-"), ("--version", f"postback-{service} ")):
            done = subprocess.run([BIN / f"postback-{service}", flag], capture_output=True, text=True, timeout=30)
            assert (done.returncode, word in done.stdout) == (0, True), done.stdout + done.stderr


def test_every_script_has_help_and_does_nothing_else_then():
    scripts = [*(ROOT / "script").iterdir(), ROOT / "compose/secrets", ROOT / "compose/test", ROOT / ".ci/run"]
    for script in scripts:
        done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr) == (0, "") and len(done.stdout) > 50, f"{script}: {done.stdout} {done.stderr}"


def test_a_wrong_command_line_is_told_and_refused():
    for service in SERVICES:
        for arguments in (["--nonsense"], ["stray"], ["--config"]):
            done = subprocess.run([BIN / f"postback-{service}", *arguments], capture_output=True, text=True, timeout=30)
            assert done.returncode == 2
            assert "--help" in done.stderr
