#include "store/endpoint.h"

enum { STATUS_GONE = 410 };

bool endpoint_next_pattern(struct slice *rest, struct slice *pattern)
{
	const uint8_t *comma;

	if (rest->len == 0)
		return false;
	comma = memchr(rest->data, ',', rest->len);
	*pattern = slice_of(rest->data, comma ? (size_t)(comma - rest->data) : rest->len);
	*rest = comma ? slice_of(comma + 1, rest->len - pattern->len - 1) : slice_of(NULL, 0);
	return true;
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
