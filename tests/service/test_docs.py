"""The documents of the HTTP API, its problems and its operation, held against the code's tables."""
import re

import pytest

from lib.paths import ROOT

SERVICES = ("base", "proto", "runtime", "store", "service", "gateway", "processor", "notifier")


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


API = text_of("docs/http-api.md")
PAGES = ("docs/http-api.md", "docs/problems.md", "docs/operations.md")


def table_of(path, name):
    """The inside of a table in C: what stands between its braces."""
    found = re.search(rf"\b{name}\[\w*\] = \{{\n(.*?)\n\}};", text_of(path), re.DOTALL)
    assert found, f"{path} has no table {name}"
    return found.group(1)


def same(documented, real):
    assert documented == real, f"not in the code: {documented - real}; not documented: {real - documented}"


def test_every_problem_is_documented_and_no_other():
    rows = re.findall(
        r'\{(\d{3}), "/problems/([a-z-]+)",\s*"([^"]+)",\s*"[^"]+"\}', table_of("gateway/problem.c", "problems"))
    assert len(rows) == int(re.search(r"#define PROBLEMS (\d+)", text_of("gateway/problem.h")).group(1))
    documented = re.findall(r"^## ([a-z-]+)\n\n`(\d{3})` (.+)\n$", text_of("docs/problems.md"), re.MULTILINE)
    same({(name, int(status), title) for name, status, title in documented},
         {(name, int(status), title) for status, name, title in rows})


def endpoints():
    rows = re.findall(r'\{CALL_(\w+), "([^"]+)"', table_of("gateway/gateway.c", "endpoints")
                      + table_of("gateway/server.c", "own_endpoints"))
    assert len(rows) > 10
    return {(method, path) for method, path in rows}


def test_every_endpoint_is_documented_and_no_other():
    documented = set()
    for methods, paths in re.findall(r"^\| \[`(\w+) (/.*?)`\]", API, re.MULTILINE):
        documented |= {(methods, path) for path in paths.split("`, `")}
    same(documented, endpoints())


def test_every_endpoint_has_a_heading():
    for method, path in endpoints():
        if path.startswith("/v1/"):
            assert re.search(rf"^#+ {method} {re.escape(path)}$", API, re.MULTILINE), f"{method} {path}"


@pytest.mark.parametrize("page", PAGES)
def test_no_path_is_named_that_there_is_not(page):
    patterns = [re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) for _, path in endpoints()]
    for path in re.findall(r"(?<![\w#-])/v1(?:/[\w{}…-]+)*", text_of(page)):
        assert path == "/v1" or any(re.fullmatch(pattern, path) for pattern in patterns), path


def rows_under(heading, column=0):
    """What stands between backticks in a column of the first table behind a heading."""
    section = API.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"\n\|---.*\n((?:\|.*\n)+)", section).group(1)
    names = set()
    for row in table.splitlines():
        names |= set(re.findall(r"`(\w[\w.]*)`", row.split("|")[column + 1]))
    return names


def names_in(path, table):
    return set(re.findall(r'\{(?:\.name = )?"(\w+)"', table_of(path, table)))


def test_every_key_of_an_envelope_is_documented_and_no_other():
    retry = {f"retry.{name}" for name in names_in("gateway/envelope.c", "retry_members")}
    same(rows_under("### POST /v1/tasks"), names_in("gateway/envelope.c", "envelope_members") | retry)


def test_every_option_of_run_is_documented_and_no_other():
    own = re.findall(r'strcmp\(name\.text, "(\w+)"\)', text_of("gateway/run.c"))
    same(rows_under("### POST /v1/run/{task}"),
         names_in("gateway/submission.c", "options") | set(own) | names_in("gateway/deliver.c", "channels"))


def test_every_channel_is_documented_and_no_other():
    rows = re.findall(r'\.name = "(\w+)",\s*\.key = "(\w+)"', table_of("gateway/deliver.c", "channels"))
    same(rows_under("#### Deliver"), {name for name, _ in rows})
    same(rows_under("#### Deliver", column=1), {key for _, key in rows})


def test_every_parameter_of_the_list_is_documented_and_no_other():
    same(rows_under("### GET /v1/tasks"), names_in("gateway/list.c", "parameters"))


def test_every_member_of_the_status_document_is_documented_and_no_other():
    code = text_of("service/status.c")
    members = set(re.findall(r'json_out_\w+\(out, "(\w+)"', code))
    inner = {"content_type", "size", "href", "type", "message", "retryable", "data", "pending", "delivered", "dead"}
    documented = {name for name in rows_under("### The status document") if not name.startswith("error.")}
    same(documented, members - inner)
    for name in inner:
        assert f"`{name}`" in API or f".{name}`" in API, name


def test_every_header_that_pages_may_use_is_documented():
    for macro in re.findall(r"#define CORS_\w+_HEADERS((?: .*\\\n)*.*)", text_of("gateway/cors.h")):
        for header in re.findall(r"[A-Za-z-]+(?=[,\"])", macro):
            assert f"`{header}`" in API or header == "Last-Event-ID", header


def test_every_log_event_is_documented_and_no_other():
    events = {"log_dropped"}
    for folder in SERVICES:
        for source in sorted((ROOT / folder).glob("*.c")):
            events |= set(re.findall(r'\blog_(?:\w+)\((?:\w+, )?"([a-z_]+)"', source.read_text(encoding="utf-8")))
    section = text_of("docs/operations.md").split("\n## Log events\n", 1)[1]
    listed = {name for line in section.splitlines() if line.startswith(("- `", "| `"))
              for name in re.findall(r"`([a-z_]+)`", re.split(r" \| | \(", line, 1)[0])}
    debug = set(re.findall(r"`(request\w*)`", section.split("### Debug", 1)[1])) - {"request_id"}
    same(listed | debug | {"log_dropped"}, events)


def slug(heading):
    """The anchor that a renderer makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_anchor_between_documents_is_a_heading():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            there = (page.parent / target if target else page).read_text(encoding="utf-8")
            anchors = {slug(heading) for heading in re.findall(r"^#+ (.+)$", there, re.MULTILINE)}
            assert anchor in anchors, f"{page.relative_to(ROOT)} links to {target}#{anchor}"


def test_every_page_is_in_the_index():
    index = text_of("docs/README.md")
    for page in ROOT.glob("docs/*.md"):
        if page.name != "README.md" and not page.name.endswith(".in.md"):
            assert f"({page.name})" in index, page.name


def plain(value):
    """A default as the tables of options write it: "8 MiB" as 8MiB, "2 min" as 2m, "10,000" as 10000."""
    return {"none": "0"}.get(value, value.replace(",", "").replace(" min", "m").replace(" ", ""))


def test_the_limits_of_the_page_are_the_defaults():
    section = text_of("docs/configuration.md").split("## gateway.limits\n")[1].split("\n## ")[0]
    defaults = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| `([^`]+)` \|", section, re.MULTILINE))
    rows = re.findall(r"^\| `gateway\.limits\.(\w+)`(?:, `(\w+)`)?[^|]*\| ([^|]+) \|", API, re.MULTILINE)
    told = {}
    for first, second, values in rows:
        told |= dict(zip(filter(None, (first, second)), map(plain, re.split(r",\s", values))))
    assert len(told) > 10
    same(set(told.items()), {(name, value) for name, value in defaults.items() if name in told})


def test_the_links_of_the_status_document_are_documented():
    links = re.search(r"^\| `links` \| (.+) \|$", API, re.MULTILINE).group(1)
    renders = text_of("service/status.c").split("void status_render_links(")[1].split("\n}\n")[0]
    same(set(re.findall(r"`(\w+)`", links)), set(re.findall(r'link_to\(out, "(\w+)"', renders)))


def test_every_reason_why_a_task_is_dead_is_documented():
    section = text_of("docs/problems.md").split("## task-dead\n")[1].split("\n## ")[0]
    given = {kind for kind, _ in re.findall(r'\{"(\w+)", "([^"]+)"\}', table_of("notifier/event.c", "deaths"))}
    for source in (ROOT / "store").glob("*.c"):
        given |= set(re.findall(r'TASK_DEAD, "(\w+)"', source.read_text(encoding="utf-8")))
    given |= set(re.findall(r'say_error\(e, "(dead\w+)"', text_of("notifier/event.c")))
    same(set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)), given)
