#include "store/endpoint.h"

#include <errno.h>
#include <inttypes.h>

enum { STATUS_GONE = 410 };

/* The next of what stands between commas. */
static bool next_part(struct slice *rest, struct slice *part)
{
	const uint8_t *comma;

	if (rest->len == 0)
		return false;
	comma = memchr(rest->data, ',', rest->len);
	*part = slice_of(rest->data, comma ? (size_t)(comma - rest->data) : rest->len);
	*rest = comma ? slice_of(comma + 1, rest->len - part->len - 1) : slice_of(NULL, 0);
	return true;
}

bool endpoint_next_pattern(struct slice *rest, struct slice *pattern)
{
	return next_part(rest, pattern);
}

static bool is_match(struct slice pattern, struct slice task)
{
	if (pattern.len == 0 || pattern.data[pattern.len - 1] != '*')
		return slice_is_equal(pattern, task);
	pattern.len--;
	return task.len >= pattern.len && slice_is_equal(pattern, slice_of(task.data, pattern.len));
}

bool endpoint_wants(struct slice tasks, uint32_t outcomes, struct slice task, enum task_state state)
{
	struct slice pattern;

	if (outcomes != 0 && !(outcomes & (1u << state)))
		return false;
	if (tasks.len == 0)
		return true;
	while (endpoint_next_pattern(&tasks, &pattern))
		if (is_match(pattern, task))
			return true;
	return false;
}

/* ---- secrets ---- */

bool endpoint_next_old_secret(struct slice *rest, struct slice *secret, int64_t *until_ms)
{
	struct slice part;
	int64_t ms = 0;
	size_t at = 0;

	if (!next_part(rest, &part))
		return false;
	for (; at < part.len && part.data[at] != ' '; at++)
		ms = ms * 10 + (part.data[at] - '0');
	at += at < part.len;
	*secret = slice_of(part.data + at, part.len - at);
	*until_ms = ms;
	return true;
}

struct rotation {
	struct slice secret; /* the new one */
	int64_t old_until_ms, now_ms;
	struct buf *out;
	size_t len;
};

static void keep_secret(struct rotation *r, struct slice secret, int64_t until_ms)
{
	if (until_ms > r->old_until_ms)
		until_ms = r->old_until_ms;
	if (until_ms <= r->now_ms || slice_is_equal(secret, r->secret))
		return;
	buf_printf(r->out, "%s%" PRId64 " ", r->len++ > 0 ? "," : "", until_ms);
	buf_append_slice(r->out, secret);
}

int endpoint_rotate(const struct store_endpoint *e, struct slice secret, int64_t old_until_ms, int64_t now_ms,
	struct buf *out)
{
	struct rotation r = {secret, old_until_ms, now_ms, out, 0};
	struct slice rest = e->old_secrets, old;
	int64_t until_ms;

	keep_secret(&r, e->secret, old_until_ms);
	while (endpoint_next_old_secret(&rest, &old, &until_ms))
		keep_secret(&r, old, until_ms);
	return r.len > STORE_ENDPOINT_OLD_SECRETS_MAX ? -ENOSPC : out->error;
}

/* ---- changes and verdicts ---- */

static void set_enabled(struct store_endpoint *e, const struct store_endpoint_change *change)
{
	if (change->is_enabled) {
		e->is_enabled = true;
		e->disabled_at_ms = 0;
		e->disabled_reason = slice_of(NULL, 0);
		e->failing_since_ms = 0;
	} else if (e->is_enabled) {
		e->is_enabled = false;
		e->disabled_at_ms = change->now_ms;
		e->disabled_reason = change->reason;
	}
}

void endpoint_apply(struct store_endpoint *e, const struct store_endpoint_change *change)
{
	if (slice_is_set(change->url)) {
		e->url = change->url;
		e->failing_since_ms = 0;
	}
	if (slice_is_set(change->description))
		e->description = change->description.len ? change->description : slice_of(NULL, 0);
	if (slice_is_set(change->tasks))
		e->tasks = change->tasks;
	if (change->has_outcomes)
		e->outcomes = change->outcomes;
	if (change->has_enabled)
		set_enabled(e, change);
	e->updated_at_ms = change->now_ms;
}

enum endpoint_verdict endpoint_judge(const struct store_due_result *attempt, int64_t failing_since_ms)
{
	if (attempt->how == STORE_DUE_DONE)
		return ENDPOINT_WORKS;
	if (attempt->how == STORE_DUE_DEAD && attempt->status == STATUS_GONE)
		return ENDPOINT_IS_GONE;
	if (failing_since_ms == 0 || attempt->disable_after_ms == 0)
		return ENDPOINT_FAILS;
	return attempt->at_ms - failing_since_ms >= attempt->disable_after_ms ? ENDPOINT_FAILED
									      : ENDPOINT_FAILS;
}

const char *endpoint_verdict_text(enum endpoint_verdict verdict)
{
	switch (verdict) {
	case ENDPOINT_WORKS:
	case ENDPOINT_FAILS: break;
	case ENDPOINT_FAILED: return "every attempt failed for too long";
	case ENDPOINT_IS_GONE: return "it answered 410 Gone";
	}
	return "";
}
