/*
 * The message of a webhook as Standard Webhooks has it, and its headers. Pure.
 */
#ifndef NOTIFIER_MESSAGE_H
#define NOTIFIER_MESSAGE_H

#include "base/buf.h"
#include "notifier/signature.h"
#include "store/store.h"

/* Appends {"type":"task.succeeded","timestamp":…,"data":…}: when it ended, and its status document. 0 or out's error. */
int message_render(const struct store_task *task, struct buf *out);

#define MESSAGE_HEADERS_MAX 10

struct message_headers {
	struct buf text;
	const char *lines[MESSAGE_HEADERS_MAX + 1]; /* NULL terminated; point into `text` */
};

struct message {
	struct id id; /* the same for every attempt */
	struct id task_id;
	enum task_state state;
	int64_t finished_at_ms;
	struct slice body;
};

/*
 * The headers of the attempt that is made at `now_ms`: content type, webhook-id, webhook-timestamp, webhook-signature, and
 * those of CloudEvents 1.0 in binary mode where wanted. 0 or -ENOMEM; message_headers_done in any case.
 */
int message_make_headers(const struct message *m, const struct signature_keys *keys, bool with_cloudevents,
	int64_t now_ms, struct message_headers *out);
void message_headers_done(struct message_headers *h);

#endif
