"""The description of the API for programs: valid, complete, served, and true of what the gateway answers."""
import copy
import json
import re
import shutil
import subprocess

import jsonschema
import pytest

from gateway_rig import ECHO, module_stack, shell
from lib.paths import ROOT
from lib.receiver import SECRET, Receiver

SOURCE = ROOT / "docs/openapi.json"
API = json.loads(SOURCE.read_text(encoding="utf-8"))
METHODS = ("get", "post", "patch", "put", "delete")

api = module_stack(processor={"handlers": [ECHO, shell("fail", "echo no >&2; exit 64")]},
                   notifier={"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": ["0s"]}})


def table(path, name):
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.search(rf"\b{name}\[\w*\] = \{{\n(.*?)\n\}};", text, re.DOTALL).group(1)


def operations():
    return {(method.upper(), path): operation for path, item in API["paths"].items()
            for method, operation in item.items() if method in METHODS}


def resolve(value):
    while "$ref" in value:
        found = API
        for key in value["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        value = found
    return value


def parameters(method, path, place="query"):
    found = map(resolve, operations()[method, path].get("parameters", []))
    return {one["name"] for one in found if one["in"] == place}


# What it says, held against the code.

def test_it_is_valid(tmp_path):
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", tmp_path,
                    "@seriousme/openapi-schema-validator@2"], check=True, capture_output=True, timeout=300)
    done = subprocess.run([tmp_path / "node_modules/.bin/validate-api", SOURCE], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout) == {"valid": True}, done.stdout + done.stderr


def test_every_schema_is_one():
    for schema in API["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_endpoint_is_in_it_and_no_other():
    rows = re.findall(r'\{CALL_(\w+), "([^"]+)"', table("gateway/gateway.c", "endpoints")
                      + table("gateway/server.c", "own_endpoints"))
    assert set(operations()) == set(rows)


def test_every_problem_is_in_it_and_no_other():
    rows = re.findall(r'\{(\d{3}), "(/problems/[a-z-]+)"', table("gateway/problem.c", "problems"))
    assert set(API["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]) == {name for _, name in rows}
    statuses = {status for status, _ in rows}
    for operation in operations().values():
        for status, response in operation["responses"].items():
            if response.get("$ref", "").endswith("/Problem"):
                assert status in statuses | {"default"}, operation["operationId"]


def test_its_version_is_the_projects():
    assert f"VERSION {API['info']['version']} " in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_every_segment_of_a_path_is_described():
    for method, path in operations():
        assert parameters(method, path, "path") == set(re.findall(r"\{(\w+)\}", path)), path


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for operation in operations().values()]
    assert len(set(names)) == len(names)


def test_only_what_needs_no_key_says_so():
    open_ones = {path for _, path, flags in re.findall(
        r'\{CALL_(\w+), "([^"]+)", \w+, ([^}]*)\}', table("gateway/server.c", "own_endpoints")) if "OPEN" in flags}
    assert {path for (_, path), operation in operations().items() if operation.get("security") == []} == open_ones


def names_in(path, name):
    return set(re.findall(r'\{(?:\.name = )?"(\w+)"', table(path, name)))


def test_the_parameters_are_those_of_the_code():
    assert parameters("GET", "/v1/tasks") == names_in("gateway/list.c", "parameters")
    assert parameters("POST", "/v1/deliveries/retry") == names_in("gateway/replay.c", "parameters")
    assert parameters("POST", "/v1/run/{task}") == (
        names_in("gateway/submission.c", "options") | names_in("gateway/deliver.c", "channels") | {"mode", "metadata"})


def test_the_keys_of_bodies_are_those_of_the_code():
    schemas = API["components"]["schemas"]
    assert set(schemas["Envelope"]["properties"]) == names_in("gateway/envelope.c", "envelope_members")
    assert set(schemas["Deliver"]["properties"]) == names_in("gateway/deliver.c", "channels")
    rows = re.findall(r'\{"(\w+)", ([^,]*), ', table("gateway/endpoint_body.c", "members"))
    for kind, path, method in (("NEW", "/v1/endpoints", "POST"), ("CHANGE", "/v1/endpoints/{id}", "PATCH"),
                               ("ROTATE", "/v1/endpoints/{id}/rotate", "POST")):
        schema = operations()[method, path]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {name for name, kinds in rows if f"ENDPOINT_BODY_{kind}" in kinds}, path


# What it says, held against what the gateway answers.

def closed(schema):
    """A copy in which no object may have a member that is not described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "oneOf" not in made:
        made.setdefault("additionalProperties", False)
    return made


CLOSED = closed(copy.deepcopy(API))


def validate(schema, document):
    whole = {**schema, "components": CLOSED["components"]}
    validator = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    errors = list(validator.iter_errors(document))
    assert not errors, "\n".join(f"{error.json_path}: {error.message}" for error in errors)


def checked(answer, method, path):
    """The answer's document, after it was held against the operation's response of that status."""
    operation = CLOSED["paths"][path][method.lower()]
    kind = answer.headers["Content-Type"].split(";")[0]
    assert str(answer.status_code) in operation["responses"], f"{method} {path}: {answer.status_code} {answer.text}"
    response = resolve(operation["responses"][str(answer.status_code)])
    for name in resolve(response).get("headers", {}):
        if name in ("Location", "ETag"):
            assert name in answer.headers, f"{method} {path}: {name}"
    content = resolve(response)["content"]
    assert kind in content, f"{method} {path}: {kind}"
    validate(content[kind]["schema"], answer.json())
    return answer.json()


def test_submissions_are_answered_as_it_says(api):
    client = api.client
    envelope = {"task": "echo", "payload": {"a": 1}, "then": {"task": "echo"}, "metadata": {"k": 1}, "timeout": "5s",
                "retry": {"attempts": 2, "base": "1s", "cap": "2s"}, "deliver": {"webhook": ["https://a.example/"]}}
    validate(CLOSED["components"]["schemas"]["Envelope"], envelope)
    checked(client.post("/v1/tasks", json=envelope), "POST", "/v1/tasks")
    checked(client.post("/v1/tasks", json={"task": "echo", "delay": "1h"}), "POST", "/v1/tasks")
    checked(client.post("/v1/tasks", json={"task": "echo"}, headers={"Prefer": "wait=10"}), "POST", "/v1/tasks")
    checked(client.post("/v1/tasks", json={"task": "echo", "tusk": 1}), "POST", "/v1/tasks")
    checked(client.post("/v1/tasks", json={"task": "nobody.runs.it"}), "POST", "/v1/tasks")
    checked(client.run("echo", b"1"), "POST", "/v1/run/{task}")
    checked(client.run("echo", b"1", colour="red"), "POST", "/v1/run/{task}")
    checked(client.run("fail", b"1", mode="sync"), "POST", "/v1/run/{task}")
    batch = checked(client.post("/v1/batches", json={"tasks": [{"task": "echo"}, {"task": "nobody.runs.it"}],
                                                     "then": "echo"}), "POST", "/v1/batches")
    checked(client.get(f"/v1/batches/{batch['id']}"), "GET", "/v1/batches/{id}")
    checked(client.post("/v1/batches", json=[{"task": "nobody.runs.it"}]), "POST", "/v1/batches")


def test_what_became_of_a_task_is_told_as_it_says(api):
    client = api.client
    done, failed = client.submit("echo", {"n": 1}), client.submit("fail")
    for task in (done, failed):
        client.await_end(task)
        checked(client.get(f"/v1/tasks/{task}"), "GET", "/v1/tasks/{id}")
        checked(client.delete(f"/v1/tasks/{task}"), "DELETE", "/v1/tasks/{id}")
    checked(client.result(failed), "GET", "/v1/tasks/{id}/result")
    checked(client.post(f"/v1/tasks/{failed}/retry"), "POST", "/v1/tasks/{id}/retry")
    checked(client.post(f"/v1/tasks/{done}/retry"), "POST", "/v1/tasks/{id}/retry")
    later = client.submit("echo", delay="1h")
    checked(client.get(f"/v1/tasks/{later}"), "GET", "/v1/tasks/{id}")
    checked(client.result(later), "GET", "/v1/tasks/{id}/result")
    checked(client.delete(f"/v1/tasks/{later}"), "DELETE", "/v1/tasks/{id}")
    checked(client.get("/v1/tasks?limit=3"), "GET", "/v1/tasks")
    checked(client.get("/v1/tasks?limit=0"), "GET", "/v1/tasks")
    checked(client.get("/v1/queues"), "GET", "/v1/queues")
    checked(client.post("/v1/tickets", json={"id": later}), "POST", "/v1/tickets")
    checked(client.get(f"/v1/tasks/{later}/ws"), "GET", "/v1/tasks/{id}/ws")
    checked(client.get("/v1/events?colour=red"), "GET", "/v1/events")


def test_endpoints_and_deliveries_are_told_as_it_says(api):
    client = api.client
    with Receiver() as receiver:
        receiver.behave("/hook", 500)
        body = {"url": receiver.url("/hook"), "tasks": ["ec*"], "on": ["succeeded"], "description": "all of it"}
        made = checked(client.post("/v1/endpoints", json=body), "POST", "/v1/endpoints")
        path = f"/v1/endpoints/{made['id']}"
        assert made.pop("secret")
        assert checked(client.get(path), "GET", "/v1/endpoints/{id}") == made
        checked(client.get("/v1/endpoints"), "GET", "/v1/endpoints")
        checked(client.request("PATCH", path, json={"description": None}), "PATCH", "/v1/endpoints/{id}")
        checked(client.request("PATCH", path, json={"secret": SECRET}), "PATCH", "/v1/endpoints/{id}")
        checked(client.post(f"{path}/rotate"), "POST", "/v1/endpoints/{id}/rotate")
        task = client.submit("echo", 1)
        (hook,) = receiver.await_hooks("/hook", 1)
        delivery = hook.headers["webhook-id"]
        checked(client.get(f"/v1/deliveries/{delivery}"), "GET", "/v1/deliveries/{id}")
        told = checked(client.get(f"/v1/tasks/{task}/deliveries"), "GET", "/v1/tasks/{id}/deliveries")
        assert [one["id"] for one in told["deliveries"]] == [delivery]
        checked(client.post("/v1/deliveries/retry?status=dead"), "POST", "/v1/deliveries/retry")
        checked(client.post(f"/v1/deliveries/{delivery}/retry"), "POST", "/v1/deliveries/{id}/retry")
        assert client.delete(path).status_code == 204
    checked(client.delete(path), "DELETE", "/v1/endpoints/{id}")


def test_operation_is_answered_as_it_says(api):
    for path in ("/livez", "/readyz", "/problems", "/openapi.json"):
        checked(api.client.get(path), "GET", path)
    checked(api.client.get("/problems/busy"), "GET", "/problems/{name}")
    checked(api.client.get("/problems/none"), "GET", "/problems/{name}")


# How it is served.

def test_it_is_served_as_it_stands(api):
    answer = api.client.get("/openapi.json")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.content == SOURCE.read_bytes()


def test_the_page_may_run_its_own_script_and_no_other(api):
    answer = api.client.get("/docs")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe" not in policy
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)


def test_a_browser_shows_every_operation(api, tmp_path):
    chromium = shutil.which("chromium")
    shown = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000", "--dump-dom", f"{api.client.base}/docs"],
        capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr, shown.stderr
    for operation in operations().values():
        assert f'<article id="{operation["operationId"]}">' in shown.stdout, operation["operationId"]


def test_both_need_no_key(make_stack, vhost):
    stack = make_stack(vhost.url).start({"gateway": {"auth": {"keys": [{"tenant": "a", "sha256": "0" * 64}]}}},
                                        only=("gateway",))
    for path in ("/openapi.json", "/docs"):
        assert stack.client.get(path).status_code == 200
    assert stack.client.get("/v1/tasks").status_code == 401
