#!/usr/bin/python3
"""A worker in any language needs no processor: it consumes a task queue and replies. Name the task in gateway.tasks,
so that its queue is declared; docs/protocol.md tells the rest.

    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ ./worker.py upper
"""
import os
import socket
import sys
import time

import msgpack
import pika

TASK = sys.argv[1] if len(sys.argv) > 1 else "upper"


def run(request):
    return request["payload"].upper()


def on_request(channel, method, properties, body):
    request = msgpack.unpackb(body)
    reply = {"v": 1, "id": request["id"], "attempt": request["attempt"], "context": request.get("context", b""),
             "started_at": int(time.time() * 1000), "worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        reply |= {"kind": "succeeded", "result": run(request), "content_type": request["content_type"]}
    except Exception as error:  # pylint: disable=broad-except
        is_last = request["attempt"] >= request.get("max_attempts", 3)
        reply |= {"kind": "failed" if is_last else "retry", "request": body,
                  "error": {"type": "failed", "message": str(error), "retryable": True}}
    reply["finished_at"] = int(time.time() * 1000)
    channel.basic_publish("postback.reply", properties.reply_to, msgpack.packb(reply), pika.BasicProperties(
        content_type="application/msgpack", delivery_mode=2, correlation_id=properties.correlation_id, type=TASK),
        mandatory=True)  # Confirmed when it returns, and an exception when it cannot be.
    channel.basic_ack(method.delivery_tag)


connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
tasks = connection.channel()
tasks.confirm_delivery()
tasks.basic_qos(prefetch_count=1)
tasks.basic_consume(f"postback.tasks.{TASK}", on_request)
print(f"waiting for {TASK}", flush=True)
tasks.start_consuming()
