"""receiver.py PORT SECRET: takes webhooks as a receiver on FastAPI should: checks the signature, reads the JSON.
GET answers how many it has taken."""
import base64
import hashlib
import hmac
import json
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
app = FastAPI()
taken = 0


def is_genuine(headers, body):
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    return any(hmac.compare_digest(expected, given.encode()) for given in headers.get("webhook-signature", "").split(" "))


@app.post("/hook")
async def take(request: Request):
    global taken
    body = await request.body()
    if not is_genuine(request.headers, body) or json.loads(body)["type"] != "task.succeeded":
        return Response(status_code=401)
    taken += 1
    return Response(status_code=204)


@app.get("/count")
async def count():
    return Response(str(taken))


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", access_log=False)
