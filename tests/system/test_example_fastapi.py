"""examples/fastapi: an application that knows nothing of Postback, behind it as it stands."""
import urllib.request

import pytest
import yaml

from lib.fastapi_app import config_for, running_app
from lib.wait import eventually


@pytest.fixture
def app(tmp_path):
    with running_app(tmp_path) as port_and_log:
        yield port_and_log


@pytest.fixture
def client(stack, app):
    return stack.start(yaml.safe_load(config_for(app[0]))).client


@pytest.mark.parametrize("slash", ["", "/"])
def test_process_is_answered_at_once_and_its_result_fetched_later(client, slash):
    answer = client.post("/process" + slash, json={"name": "Bob"})
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"message", "task_id"}
    assert document["message"] == "Request is being processed"
    first = client.get(f"/result/{document['task_id']}{slash}")
    assert first.status_code == 200
    assert first.json()["status"] in ("queued", "running", "succeeded")

    def result():
        return client.get(f"/result/{document['task_id']}").json()

    eventually(lambda: result()["status"] == "succeeded", what="the task succeeds")
    assert result()["result"] == {"message": "Hello Bob"}


def test_process_sync_answers_with_the_result(client):
    answer = client.post("/process_sync/?name=Bob")
    assert (answer.status_code, answer.json()) == (200, {"message": "Hello Bob"})
    assert answer.headers["Content-Type"] == "application/json"
    assert client.post("/process_sync", json={"name": "Ann"}).json() == {"message": "Hello Ann"}


def test_a_parameter_wins_over_the_member_of_its_name(client):
    assert client.post("/process_sync?name=Bob", json={"name": "Ann"}).json() == {"message": "Hello Bob"}


def test_a_validation_error_of_the_application_arrives_as_it_is(client, app):
    answer = client.post("/process_sync/", json={"name": {"no": "text"}})
    direct = urllib.request.Request(
        f"http://127.0.0.1:{app[0]}/process", data=b'{"name": {"no": "text"}}',
        headers={"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(direct, timeout=10)
    assert answer.status_code == refused.value.code == 422
    assert answer.content == refused.value.read()


def notification(client, app, query):
    answer = client.post(f"/send-notification/123456.qq.com{query}")
    assert answer.status_code == 200
    document = answer.json()
    assert document["message"] == "Notification sent in the background"
    assert client.await_end(document["task_id"])["status"] == "succeeded"
    return app[1].read_text(encoding="utf-8").splitlines()


def test_a_notification_with_a_query_is_two_tasks_in_order(client, app):
    assert notification(client, app, "?q=IAmBigMan") == ["found query: IAmBigMan", "message to 123456.qq.com"]


def test_a_notification_without_a_query_is_one_task(client, app):
    assert notification(client, app, "") == ["message to 123456.qq.com"]
