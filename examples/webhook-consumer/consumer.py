#!/usr/bin/env python3
"""Takes webhooks: verifies each, takes each webhook-id once, prints its outcome. Python's standard library only.

    WEBHOOK_SECRETS='whsec_… whsec_…' consumer.py [[HOST:]PORT]

What was taken is kept in consumer.db in the current folder.
"""
import base64, contextlib, hashlib, hmac, http.server, json, os, sqlite3, sys, time

SECRETS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in os.environ.get("WEBHOOK_SECRETS", "").split()]
HOST, _, PORT = (sys.argv[1] if len(sys.argv) > 1 else "9000").rpartition(":")
if not SECRETS or not PORT.isdigit():
    sys.exit(__doc__)
TOLERANCE_S, KEEP_S, BODY_MAX = 300, 7 * 24 * 3600, 32 << 20


def verify(message_id, timestamp, signatures, body):
    if not timestamp.isascii() or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in SECRETS]
    return any([hmac.compare_digest(one, given.encode()) for one in expected for given in signatures.split(" ")])


def take(message_id, message):
    """The id is kept when the work is done: a crash in between lets the next attempt in. Work of yours that is in the
    same database is then done exactly once."""
    with contextlib.closing(sqlite3.connect("consumer.db", timeout=10, isolation_level="IMMEDIATE")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at INTEGER)")
        database.execute("DELETE FROM seen WHERE at < ?", (time.time() - KEEP_S,))
        if database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (message_id, time.time())).rowcount:
            result = json.dumps(message["data"].get("result"))
            # In one piece: others print at the same time.
            print(f'{message["type"]} {message["data"]["id"]} {result}\n', end="", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 20

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_MAX:
            return self.send_error(413 if length.isdigit() else 411)
        body = self.rfile.read(int(length))
        message_id, *rest = (self.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not verify(message_id, *rest, body):
            return self.send_error(401, "The signature fits none of WEBHOOK_SECRETS, or is not of now")
        take(message_id, json.loads(body))
        self.send_response(204)
        self.end_headers()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


with contextlib.suppress(KeyboardInterrupt):
    Server((HOST or "127.0.0.1", int(PORT)), Handler).serve_forever()
