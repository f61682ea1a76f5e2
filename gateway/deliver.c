#include "gateway/deliver.h"

#include <errno.h>
#include <stdio.h>

#include "proto/json.h"
#include "proto/state.h"
#include "runtime/url.h"

enum { ADDRESS_MAX = 4096 };

struct channel {
	const char *name;
	const char *key; /* of the address in an object and in the target */
	/* 0, -EINVAL with *why, -ENOMEM. NULL: the notifier has no such channel yet. */
	int (*check)(struct slice address, const char **why);
};

static const struct channel channels[] = {
	{"webhook", "url", url_check},
	{"email", "to", NULL},
	{"sms", "to", NULL},
};

struct reader {
	const struct channel *channel;
	struct buf *out;
	struct fault *fault;
	size_t *receivers;
};

static int refuse(struct fault *fault, const char *field, const char *what)
{
	return fault_set(fault, PROBLEM_INVALID_FIELD, field, "%s", what);
}

static const struct channel *find(struct slice name)
{
	for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++)
		if (json_key_is(name, channels[i].name))
			return &channels[i];
	return NULL;
}

bool deliver_is_channel(struct slice name)
{
	return find(name) != NULL;
}

/* ---- writing ---- */

/* `out` holds a whole list, or nothing; one more item is put before its end. */
static void append_item(struct buf *out, const struct channel *channel, struct slice address, struct slice on)
{
	if (out->len > 0 && !out->error)
		out->data[out->len - 1] = ',';
	else
		buf_append_byte(out, '[');
	buf_printf(out, "{\"channel\":\"%s\",\"target\":{\"%s\":", channel->name, channel->key);
	json_append_string(out, address);
	buf_append_byte(out, '}');
	if (slice_is_set(on)) {
		buf_append_text(out, ",\"on\":");
		buf_append_slice(out, on);
	}
	buf_append_text(out, "}]");
}

static int add(const struct reader *r, struct slice address, struct slice on, const char *field)
{
	const char *why = NULL;
	int rc = r->channel->check ? r->channel->check(address, &why) : -EINVAL;

	if (rc == -EINVAL)
		return refuse(r->fault, field, why ? why : "this channel is not available");
	if (rc < 0)
		return rc;
	if (++*r->receivers > DELIVER_RECEIVERS_MAX)
		return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "more than %d receivers",
			DELIVER_RECEIVERS_MAX);
	append_item(r->out, r->channel, address, on);
	if (r->out->error == -EMSGSIZE)
		return fault_set(r->fault, PROBLEM_INVALID_FIELD, field,
			"all receivers together pass %zu bytes", DELIVER_TEXT_MAX);
	return r->out->error;
}

/* ---- reading ---- */

static struct fault_place place_of_item(const char *base, size_t index)
{
	char number[24];

	snprintf(number, sizeof number, "%zu", index);
	return fault_member(base, slice_text(number));
}

static int read_address(const struct reader *r, struct slice value, struct slice on, const char *field)
{
	struct buf text;
	int rc;

	if (json_type_of(value) != JSON_STRING)
		return refuse(r->fault, field, "must be a string");
	buf_init(&text, ADDRESS_MAX);
	rc = json_decode_string(value, &text);
	if (rc == -EMSGSIZE)
		rc = refuse(r->fault, field, "too long");
	if (rc == 0)
		rc = add(r, buf_slice(&text), on, field);
	buf_done(&text);
	return rc;
}

static bool is_outcome(struct slice name)
{
	for (int i = 0; i < TASK_STATES; i++) {
		char quoted[32];

		snprintf(quoted, sizeof quoted, "\"%s\"", task_state_name((enum task_state)i));
		if (task_state_is_terminal((enum task_state)i) && slice_is_text(name, quoted))
			return true;
	}
	return false;
}

static int check_on(const struct reader *r, struct slice on, const char *field)
{
	struct json_item item = {0};
	size_t len = 0;

	if (json_type_of(on) != JSON_ARRAY)
		return refuse(r->fault, field, "must be a list of outcomes");
	while (json_next_item(on, &item)) {
		if (!is_outcome(item.value))
			return refuse(r->fault, place_of_item(field, len).field,
				"must be \"succeeded\", \"failed\", \"canceled\" or \"dead\"");
		len++;
	}
	return len ? 0 : refuse(r->fault, field, "names no outcome; leave it out for all of them");
}

static int read_object(const struct reader *r, struct slice object, const char *field)
{
	struct json_member m = {0};
	struct slice address = {0}, on = {0};
	int rc = 0;

	while (json_next_member(object, &m) && rc == 0) {
		struct fault_place at = fault_member(field, m.key);

		if (json_key_is(m.key, r->channel->key))
			address = m.value;
		else if (!json_key_is(m.key, "on"))
			return refuse(r->fault, at.field, "unknown key");
		else if (json_type_of(m.value) != JSON_NULL && (rc = check_on(r, m.value, at.field)) == 0)
			on = m.value;
	}
	if (rc < 0)
		return rc;
	if (!slice_is_set(address))
		return fault_set(r->fault, PROBLEM_INVALID_FIELD,
			fault_member(field, slice_text(r->channel->key)).field, "%s is missing",
			r->channel->key);
	return read_address(r, address, on, fault_member(field, slice_text(r->channel->key)).field);
}

static int read_receiver(const struct reader *r, struct slice value, const char *field)
{
	switch (json_type_of(value)) {
	case JSON_STRING: return read_address(r, value, (struct slice){0}, field);
	case JSON_OBJECT: return read_object(r, value, field);
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_ARRAY: break;
	}
	return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "must be a string or an object with \"%s\"",
		r->channel->key);
}

static int read_channel(const struct reader *r, struct slice value, const char *field)
{
	struct json_item item = {0};
	size_t index = 0;
	int rc = 0;

	if (json_type_of(value) != JSON_ARRAY)
		return read_receiver(r, value, field);
	while (rc == 0 && json_next_item(value, &item))
		rc = read_receiver(r, item.value, place_of_item(field, index++).field);
	return rc;
}

int deliver_read(struct slice value, const char *field, struct buf *out, struct fault *fault)
{
	struct json_member m = {0};
	size_t receivers = 0;
	int rc = 0;

	if (json_type_of(value) != JSON_OBJECT)
		return refuse(fault, field, "must be an object with a member for each channel");
	while (rc == 0 && json_next_member(value, &m)) {
		struct reader r = {find(m.key), out, fault, &receivers};
		struct fault_place at = fault_member(field, m.key);

		if (!r.channel)
			return refuse(fault, at.field, "unknown channel");
		if (json_type_of(m.value) != JSON_NULL)
			rc = read_channel(&r, m.value, at.field);
	}
	return rc;
}

int deliver_add(
	struct slice channel, struct slice address, const char *field, struct buf *out, struct fault *fault)
{
	size_t receivers = 0;
	const struct reader r = {find(channel), out, fault, &receivers};

	if (!r.channel)
		return refuse(fault, field, "unknown channel");
	return add(&r, address, (struct slice){0}, field);
}
