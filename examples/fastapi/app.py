"""An application as FastAPI's tutorials write it. It knows nothing of Postback.

    python3 -m uvicorn app:app --port 8000
"""
import os
import time

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
log_file = os.environ.get("NOTIFICATION_LOG", "notifications.log")


class Person(BaseModel):
    name: str = "World"


class Notification(BaseModel):
    email: str
    q: str | None = None


@app.post("/process")
def process(person: Person):
    time.sleep(0.2)  # the slow work
    return {"message": f"Hello {person.name}"}


def write_log(line: str):
    with open(log_file, "a", encoding="utf-8") as file:
        file.write(line + "\n")


@app.post("/audit")
def audit(notification: Notification):
    write_log(f"found query: {notification.q}")
    return {"audited": notification.q}


@app.post("/notify")
def notify(notification: Notification):
    write_log(f"message to {notification.email}")
    return {"notified": notification.email}
