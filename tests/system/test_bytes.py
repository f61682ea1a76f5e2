"""What goes in and out is not touched: payloads and results travel as bytes."""
import hashlib
import subprocess

from lib.wait import eventually

ODD_JSON = b'{"z": 1.10, "a": 12345678901234567890, "n\\u0000": "\\u0000", "e": 1e400, "s" : "\xc3\xa9\\u00e9" , "m": {"b":1,"a":2}}'


def photo(tmp_path):
    path = tmp_path / "photo.png"
    subprocess.run(["/usr/bin/convert", "-size", "640x480", "plasma:fractal", "-seed", "7", str(path)], check=True)
    return path.read_bytes()


THUMBNAIL = ["/usr/bin/convert", "-", "-thumbnail", "200x200", "jpg:-"]


def test_a_photo_comes_back_as_the_thumbnail_that_the_program_wrote(stack, tmp_path):
    client = stack.start({"processor": {"handlers": [
        {"task": "thumbnail", "exec": THUMBNAIL, "content_type": "image/jpeg", "concurrency": 2}]}}).client
    image = photo(tmp_path)
    expected = subprocess.run(THUMBNAIL, input=image, capture_output=True, check=True).stdout

    held = client.run("thumbnail", image, "image/png", mode="sync")
    assert (held.status_code, held.headers["Content-Type"]) == (200, "image/jpeg")
    assert held.content == expected

    accepted = client.run("thumbnail", image, "image/png")
    assert accepted.status_code == 202
    document = client.await_end(accepted.json()["id"])
    assert document["status"] == "succeeded"
    assert "result" not in document
    assert document["result_info"]["content_type"] == "image/jpeg"
    assert document["result_info"]["size"] == len(expected)
    download = client.get(document["result_info"]["href"])
    assert (download.status_code, download.headers["Content-Type"]) == (200, "image/jpeg")
    assert download.content == expected


def test_json_comes_back_byte_for_byte_in_every_mode(stack):
    client = stack.start().client
    held = client.run("echo", ODD_JSON, mode="sync")
    assert held.content == ODD_JSON

    task = client.envelope("echo", ODD_JSON).json()["id"]
    raw = lambda: client.get(f"/v1/tasks/{task}").content
    eventually(lambda: b'"succeeded"' in raw(), what="the task ends")
    assert ODD_JSON in raw()
    assert client.result(task).content == ODD_JSON

    waited = client.envelope("echo", ODD_JSON, headers={"Prefer": "wait=10"})
    assert waited.status_code == 200
    assert ODD_JSON in waited.content


def test_any_bytes_of_any_type_come_back(stack):
    client = stack.start().client
    for size in (0, 1, 255, 65536, 4 * 1024 * 1024):
        body = hashlib.shake_256(str(size).encode()).digest(size)
        held = client.run("echo", body, "application/x-anything", mode="sync")
        assert (held.status_code, held.headers["Content-Type"]) == (200, "application/x-anything")
        assert held.content == body
