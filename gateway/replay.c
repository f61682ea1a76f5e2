#include "gateway/replay.h"

#include <errno.h>

#include "gateway/answer.h"
#include "gateway/asking.h"
#include "gateway/deliver.h"
#include "gateway/lookup.h"
#include "gateway/tasks.h"
#include "runtime/clock.h"
#include "runtime/config.h"
#include "service/json_out.h"

enum { DOCUMENT_MAX = 256 };

/* ---- the query ---- */

static int refuse(struct fault *fault, const char *field, const char *what)
{
	return fault_set(fault, PROBLEM_INVALID_FIELD, field, "%s", what);
}

/* A moment, or a duration that ends now. */
static int read_moment(
	struct slice value, int64_t now_ms, const char *field, int64_t *out, struct fault *fault)
{
	int64_t ms;

	if (duration_parse(value, &ms) == 0 && ms >= 0) {
		*out = ms < now_ms ? now_ms - ms : 0;
		return 0;
	}
	if (value.len > 0 && clock_parse((const char *)value.data, value.len, out) == 0)
		return 0;
	return refuse(fault, field,
		"neither a time by RFC 3339, like \"2026-01-02T03:04:05Z\" (with a + written as %2B), nor a duration "
		"like \"24h\"");
}

static int set_status(struct store_replay *r, struct slice value, struct fault *fault)
{
	if (!slice_is_text(value, "dead"))
		return refuse(fault, "status", "must be \"dead\"");
	return 0;
}

static int set_since(struct store_replay *r, struct slice value, struct fault *fault)
{
	return read_moment(value, r->now_ms, "since", &r->since_ms, fault);
}

static int set_until(struct store_replay *r, struct slice value, struct fault *fault)
{
	return read_moment(value, r->now_ms, "until", &r->until_ms, fault);
}

static int set_channel(struct store_replay *r, struct slice value, struct fault *fault)
{
	r->channel = value;
	return deliver_is_channel(value) ? 0 : refuse(fault, "channel", DELIVER_NO_CHANNEL);
}

static int set_endpoint(struct store_replay *r, struct slice value, struct fault *fault)
{
	return id_parse(value, &r->endpoint) == 0 ? 0
						  : refuse(fault, "endpoint", "not the id of an endpoint");
}

static const struct {
	const char *name;
	int (*set)(struct store_replay *r, struct slice value, struct fault *fault);
	const char *needed; /* what has to be said; NULL: may be left out */
} parameters[] = {
	{"status", set_status, "dead"},
	{"since", set_since, NULL},
	{"until", set_until, NULL},
	{"channel", set_channel, NULL},
	{"endpoint", set_endpoint, NULL},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

static int set_parameter(
	struct store_replay *r, const struct call_param *p, bool given[PARAMETERS], struct fault *fault)
{
	for (size_t i = 0; i < PARAMETERS; i++) {
		if (!slice_is_text(p->name, parameters[i].name))
			continue;
		if (given[i])
			return refuse(fault, parameters[i].name, "given twice");
		given[i] = true;
		return parameters[i].set(r, p->value, fault);
	}
	return fault_set_unknown(fault, p->name);
}

int replay_read_query(const struct call_param *params, size_t len, int64_t now_ms, struct store_replay *out,
	struct fault *fault)
{
	bool given[PARAMETERS] = {false};
	int rc = 0;

	*out = (struct store_replay){.until_ms = now_ms, .limit = STORE_REPLAY_MAX, .now_ms = now_ms};
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = set_parameter(out, &params[i], given, fault);
	for (size_t i = 0; i < PARAMETERS && rc == 0; i++)
		if (parameters[i].needed && !given[i])
			rc = fault_set(fault, PROBLEM_INVALID_FIELD, parameters[i].name,
				"has to be said: %s=%s", parameters[i].name, parameters[i].needed);
	return rc;
}

/* ---- the answer ---- */

static void on_replayed(int rc, size_t count, bool has_more, void *arg)
{
	struct asking *a = arg;
	struct buf document;

	if (rc < 0) {
		lookup_store_failed(a->call);
	} else {
		buf_init(&document, DOCUMENT_MAX);
		json_out_open(&document, NULL, '{');
		json_out_number(&document, "retried", (int64_t)count);
		json_out_bool(&document, "has_more", has_more);
		json_out_close(&document, '}');
		answer_document(a->call, 202, &document);
	}
	asking_end(a);
}

void replay_post(struct call *call, void *arg)
{
	const struct call_param *params;
	struct gateway *g = arg;
	struct store_replay what;
	struct fault fault;
	struct asking *a;
	size_t len;

	if (!tasks_body_is_nothing(call))
		return;
	params = call_params(call, &len);
	if (replay_read_query(params, len, clock_wall_ms(), &what, &fault) < 0) {
		fault_send(&fault, call);
		return;
	}
	what.tenant = call_tenant(call);
	a = asking_new(g, call, sizeof *a);
	if (a)
		asking_begin(a, store_deliveries_replay(g->store, &what, on_replayed, a));
}
