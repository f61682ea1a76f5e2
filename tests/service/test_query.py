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
