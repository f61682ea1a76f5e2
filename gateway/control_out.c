#include "gateway/control_out.h"

#include "proto/control.h"
#include "proto/topology.h"
#include "runtime/clock.h"

enum { CONTROL_MAX = 256, LOG_EVERY_MS = 1000 };

static void on_published(enum broker_outcome outcome, void *arg)
{
	static struct log_gate gate;
	unsigned suppressed;

	if (outcome != BROKER_CONFIRMED && log_gate_pass(&gate, LOG_EVERY_MS, &suppressed))
		log_warn("cancel_not_published", LOG_TEXT("outcome", broker_outcome_name(outcome)),
			LOG_INT("suppressed", suppressed));
}

int control_cancel(struct gateway *g, const struct id *id, broker_publish_cb *cb, void *arg)
{
	struct control control = {.kind = CONTROL_CANCEL, .id = *id, .at_ms = clock_wall_ms()};
	char text[ID_TEXT_LEN + 1];
	struct buf body;
	int rc;

	id_format(id, text);
	buf_init(&body, CONTROL_MAX);
	rc = control_encode(&control, &body);
	if (rc == 0) {
		struct broker_message m = {
			.exchange = TOPOLOGY_CONTROL,
			.routing_key = slice_text(""),
			.body = buf_slice(&body),
			.content_type = "application/msgpack",
			.correlation_id = slice_text(text),
			.type = slice_text("cancel"),
			.app_id = "postback",
			.persistent = true,
			.mandatory = true,
			.timeout_ms = g->options->limits.publish_timeout_ms,
		};

		rc = broker_publish(g->service->publish, &m, cb ? cb : on_published, arg);
	}
	buf_done(&body);
	return rc;
}
