/*
 * Live events: what services tell each other of tasks that have changed, through the exchange postback.events. Between
 * Postback's own services; other programs read tasks over HTTP.
 *
 * One message carries the changes of one commit. It goes to every shard that one of them belongs to: that of the task's id
 * and that of its tenant. In each shard the messages of a publisher are counted, so that whoever listens to a shard sees
 * when one was lost.
 */
#ifndef PROTO_LIVE_H
#define PROTO_LIVE_H

#include "base/buf.h"
#include "proto/decode.h"
#include "proto/id.h"
#include "proto/state.h"

#define LIVE_MARKS_MAX 1024 /* shards of one message */

/* Number `count` of its publisher's messages in this shard; counts from 1, and past 2^32 from 0 on. */
struct live_mark {
	uint16_t shard;
	uint32_t count;
};

struct live_message {
	uint64_t publisher;  /* a random number of the process, below 2^63 */
	struct slice marks;  /* see live_mark_at */
	struct slice events; /* see live_next_event; unset: none, something was lost in these shards */
};

struct live_error {
	struct slice type, message;
	bool retryable;
	int32_t status;
	struct slice data; /* JSON text */
};

/* A task as of one rev. What is optional is unset or zero. */
struct live_event {
	struct id id;
	struct slice tenant, task;
	enum task_state state;
	uint64_t rev;
	bool is_partial; /* only what stands above: the rest is to be read from the store */
	uint32_t attempt;
	int64_t created_at_ms, due_at_ms, started_at_ms, finished_at_ms;
	struct slice progress, metadata; /* JSON text */
	struct slice worker;
	bool has_error;
	struct live_error error;
	struct slice content_type;
	int64_t result_len;
	bool result_is_json;
	struct slice result;
	struct id waits_for, batch, retry_of;
	uint32_t deliveries_pending, deliveries_delivered, deliveries_dead;
	uint32_t span; /* it stands for so many changes up to `rev`; 0: for one */
};

/* Appends one event, to be collected for live_message. As request_encode. */
int live_event_encode(const struct live_event *e, struct buf *out);
/* As request_decode; a state not known here is -ENOMSG. */
int live_event_decode(struct slice bytes, struct live_event *out, struct decode_error *error);

/*
 * The id of an event that has it first, as our own encoder writes it, without a look at the rest: most events are of tasks
 * that nobody follows here. False: decode it to know.
 */
bool live_event_id(struct slice bytes, struct id *out);

/* Appends a mark to what becomes live_message.marks. 0 or the buffer's error. */
int live_mark_append(const struct live_mark *m, struct buf *out);
/* False when there are not so many. */
bool live_mark_at(struct slice marks, size_t index, struct live_mark *out);

/* `events`: `count` encoded events one behind the other. 0, -EINVAL, -ENOMEM or the buffer's error. */
int live_message_encode(
	uint64_t publisher, struct slice marks, struct slice events, uint32_t count, struct buf *out);
/* As request_decode. The events are found to be objects, each is looked at when its turn comes. */
int live_message_decode(struct slice bytes, struct live_message *out, struct decode_error *error);

/* The bytes of the next event of a decoded message's; *at starts at 0. False after the last. */
bool live_next_event(struct slice events, size_t *at, struct slice *out);

#endif
