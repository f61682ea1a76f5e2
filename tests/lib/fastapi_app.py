"""The application of examples/fastapi, which knows nothing of Postback, under a real uvicorn."""
import contextlib
import os
import subprocess
import urllib.request

from lib.paths import EXAMPLES, PYTHON
from lib.ports import free_port
from lib.wait import eventually


@contextlib.contextmanager
def running_app(folder):
    """(port, log of its notifications); both logs are in `folder`."""
    port = free_port()
    log = folder / "notifications.log"
    with open(folder / "uvicorn.log", "wb") as out:
        process = subprocess.Popen(
            [PYTHON, "-m", "uvicorn", "app:app", "--port", str(port)], cwd=EXAMPLES / "fastapi", stdout=out,
            stderr=out, env={**os.environ, "NOTIFICATION_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"})

    def answers():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5) as response:
            return response.status == 200

    try:
        eventually(answers, timeout=90, what="uvicorn answers")
        yield port, log
    finally:
        process.terminate()
        process.wait(10)


def config_for(port):
    """Text of its postback.yaml, with the application on that port."""
    text = (EXAMPLES / "fastapi/postback.yaml").read_text(encoding="utf-8")
    return text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
