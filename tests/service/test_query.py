"""A query parameter that an endpoint does not know is refused, not ignored."""
import re

import pytest

from gateway_rig import ECHO, module_stack, problem
from lib.paths import ROOT

api = module_stack(processor={"handlers": [ECHO]})
TABLE = (ROOT / "gateway/gateway.c").read_text(encoding="utf-8").split(" endpoints[] = {", 1)[1].split("\n};", 1)[0]
ENDPOINTS = re.findall(r'\{CALL_(\w+), "(/v1/[^"]+)"', TABLE)


@pytest.mark.parametrize("method, path", ENDPOINTS, ids=[" ".join(row) for row in ENDPOINTS])
def test_an_unknown_query_parameter_is_refused(api, method, path):
    task_id = api.client.submit("echo")
    answer = api.client.request(method, path.replace("{id}", task_id).replace("{task}", "echo") + "?nonsense=1")
    assert "nonsense" in problem(answer, 422, "invalid-field")["detail"]


@pytest.mark.parametrize("method, path, what", [
    ("GET", "/v1/tasks?status=done", "succeeded"), ("GET", "/v1/tasks?limit=0", "200"),
    ("GET", "/v1/tasks?cursor=2", "`next`"), ("POST", "/v1/deliveries/retry", "status=dead"),
    ("POST", "/v1/deliveries/retry?status=pending", "dead"), ("POST", "/v1/run/echo?mode=later", "async"),
    ("POST", "/v1/run/echo?delay=soon", "10s"), ("POST", "/v1/run/echo?run_at=soon", "RFC 3339")])
def test_a_refusal_says_what_would_be_taken(api, method, path, what):
    assert what in problem(api.client.request(method, path), 422, "invalid-field")["detail"]
