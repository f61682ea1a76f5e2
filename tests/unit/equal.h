/*
 * Equality of decoded messages, for the round trips of unit tests and fuzz targets.
 */
#ifndef TESTS_EQUAL_H
#define TESTS_EQUAL_H

#include "proto/context.h"
#include "proto/control.h"
#include "proto/live.h"
#include "proto/reply.h"

/* An empty slice equals only an empty one that is there as well. */
static inline bool same_bytes(struct slice a, struct slice b)
{
	return slice_is_set(a) == slice_is_set(b) && slice_is_equal(a, b);
}

static inline bool same_retry(bool has_a, struct retry_policy a, bool has_b, struct retry_policy b)
{
	return has_a == has_b && (!has_a || (a.base_ms == b.base_ms && a.cap_ms == b.cap_ms));
}

static inline bool request_is_equal(const struct request *a, const struct request *b)
{
	return id_is_equal(&a->id, &b->id) && same_bytes(a->task, b->task) &&
	       same_bytes(a->payload, b->payload) && same_bytes(a->content_type, b->content_type) &&
	       a->created_at_ms == b->created_at_ms && a->deadline_ms == b->deadline_ms &&
	       a->attempt == b->attempt && a->max_attempts == b->max_attempts &&
	       a->timeout_ms == b->timeout_ms && same_retry(a->has_retry, a->retry, b->has_retry, b->retry) &&
	       same_bytes(a->context, b->context);
}

/* A message of no bytes stands for one that is not there. */
static inline bool error_is_equal(const struct reply_error *a, const struct reply_error *b)
{
	return same_bytes(a->type, b->type) && slice_is_equal(a->message, b->message) &&
	       a->retryable == b->retryable && a->status == b->status && same_bytes(a->data, b->data);
}

static inline bool reply_is_equal(const struct reply *a, const struct reply *b)
{
	return id_is_equal(&a->id, &b->id) && a->attempt == b->attempt && a->kind == b->kind &&
	       same_bytes(a->result, b->result) && same_bytes(a->content_type, b->content_type) &&
	       a->started_at_ms == b->started_at_ms && a->finished_at_ms == b->finished_at_ms &&
	       a->has_error == b->has_error && (!a->has_error || error_is_equal(&a->error, &b->error)) &&
	       same_bytes(a->request, b->request) && same_bytes(a->context, b->context) &&
	       same_bytes(a->progress, b->progress) && a->seq == b->seq && same_bytes(a->worker, b->worker) &&
	       same_retry(a->has_retry, a->retry, b->has_retry, b->retry) &&
	       a->retry_after_ms == b->retry_after_ms;
}

static inline bool context_is_equal(const struct context *a, const struct context *b)
{
	return same_bytes(a->tenant, b->tenant) && same_bytes(a->task, b->task) &&
	       same_bytes(a->metadata, b->metadata) && same_bytes(a->deliver, b->deliver) &&
	       id_is_equal(&a->batch, &b->batch) && id_is_equal(&a->retry_of, &b->retry_of) &&
	       a->has_next == b->has_next && a->is_inline == b->is_inline &&
	       same_bytes(a->trace.parent, b->trace.parent) && same_bytes(a->trace.state, b->trace.state);
}

static inline bool control_is_equal(const struct control *a, const struct control *b)
{
	return a->kind == b->kind && id_is_equal(&a->id, &b->id) && a->at_ms == b->at_ms;
}

static inline bool live_error_is_equal(const struct live_error *a, const struct live_error *b)
{
	return same_bytes(a->type, b->type) && slice_is_equal(a->message, b->message) &&
	       a->retryable == b->retryable && a->status == b->status && same_bytes(a->data, b->data);
}

static inline bool live_event_is_equal(const struct live_event *a, const struct live_event *b)
{
	return id_is_equal(&a->id, &b->id) && same_bytes(a->tenant, b->tenant) &&
	       same_bytes(a->task, b->task) && a->state == b->state && a->rev == b->rev &&
	       a->is_partial == b->is_partial && a->attempt == b->attempt &&
	       a->created_at_ms == b->created_at_ms && a->due_at_ms == b->due_at_ms &&
	       a->started_at_ms == b->started_at_ms && a->finished_at_ms == b->finished_at_ms &&
	       same_bytes(a->progress, b->progress) && same_bytes(a->metadata, b->metadata) &&
	       same_bytes(a->worker, b->worker) && a->has_error == b->has_error &&
	       (!a->has_error || live_error_is_equal(&a->error, &b->error)) &&
	       same_bytes(a->content_type, b->content_type) && a->result_len == b->result_len &&
	       a->result_is_json == b->result_is_json && same_bytes(a->result, b->result) &&
	       id_is_equal(&a->waits_for, &b->waits_for) && id_is_equal(&a->batch, &b->batch) &&
	       id_is_equal(&a->retry_of, &b->retry_of) && a->deliveries_pending == b->deliveries_pending &&
	       a->deliveries_delivered == b->deliveries_delivered &&
	       a->deliveries_dead == b->deliveries_dead && a->span == b->span;
}

/*
 * What decodes must encode, decode again and be equal: name_round_trip(bytes) is 0 then, the decoder's error when
 * `bytes` did not decode, and -EILSEQ when the promise is broken.
 */
#define ROUND_TRIP(name)                                                         \
	static inline int name##_round_trip(struct slice bytes)                  \
	{                                                                        \
		struct decode_error error;                                       \
		struct name first, second;                                       \
		struct buf again;                                                \
		int rc = name##_decode(bytes, &first, &error);                   \
                                                                                 \
		if (rc < 0)                                                      \
			return rc;                                               \
		buf_init(&again, bytes.len + 1024);                              \
		if (name##_encode(&first, &again) < 0 ||                         \
			name##_decode(buf_slice(&again), &second, &error) < 0 || \
			!name##_is_equal(&first, &second))                       \
			rc = -EILSEQ;                                            \
		buf_done(&again);                                                \
		return rc;                                                       \
	}

ROUND_TRIP(request)
ROUND_TRIP(reply)
ROUND_TRIP(context)
ROUND_TRIP(control)
ROUND_TRIP(live_event)

/* The events of a message, one behind the other as live_message_encode takes them. */
static inline uint32_t live_events_join(struct slice events, struct buf *out)
{
	struct slice event;
	uint32_t count = 0;

	for (size_t at = 0; live_next_event(events, &at, &event); count++)
		buf_append_slice(out, event);
	return count;
}

static inline int live_message_encode_again(const struct live_message *m, size_t room, struct buf *out)
{
	struct buf events;
	int rc;

	buf_init(&events, room);
	rc = live_message_encode(m->publisher, m->marks, buf_slice(&events), 0, out);
	if (slice_is_set(m->events) && rc == 0) {
		uint32_t count = live_events_join(m->events, &events);

		buf_reset(out);
		rc = live_message_encode(m->publisher, m->marks, buf_slice(&events), count, out);
	}
	buf_done(&events);
	return rc;
}

/* As the others; an empty list of events stands for one that is not there. */
static inline int live_message_round_trip(struct slice bytes)
{
	struct decode_error error;
	struct live_message first, second;
	struct buf again;
	int rc = live_message_decode(bytes, &first, &error);

	if (rc < 0)
		return rc;
	buf_init(&again, bytes.len + 1024);
	if (live_message_encode_again(&first, bytes.len + 1024, &again) < 0 ||
		live_message_decode(buf_slice(&again), &second, &error) < 0 ||
		second.publisher != first.publisher || !slice_is_equal(first.marks, second.marks))
		rc = -EILSEQ;
	buf_done(&again);
	return rc;
}

#endif
