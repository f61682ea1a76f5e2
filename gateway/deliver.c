#include "gateway/deliver.h"

#include <errno.h>
#include <stdio.h>

#include "proto/json.h"
#include "proto/name.h"
#include "proto/state.h"
#include "runtime/e164.h"
#include "runtime/email_address.h"
#include "runtime/url.h"

enum { ADDRESS_MAX = 4096 };

struct channel {
	const char *name;
	const char *key;       /* of the address in an object and in the target */
	bool takes_list;       /* the address in an object may be a list: a receiver for each */
	bool takes_template;   /* an object may name a template of the notifier's */
	bool begins_with_plus; /* which a query makes a space */
	/* 0, -EINVAL with *why, -ENOMEM. */
	int (*check)(struct slice address, const char **why);
};

static const struct channel channels[] = {
	{.name = "webhook", .key = "url", .check = url_check},
	{.name = "email",
		.key = "to",
		.takes_list = true,
		.takes_template = true,
		.check = email_address_check},
	{.name = "sms", .key = "to", .takes_list = true, .begins_with_plus = true, .check = e164_check},
};

struct reader {
	const struct channel *channel;
	struct buf *out;
	struct fault *fault;
	size_t *receivers;
};

/* What an object says beside its address, as JSON; unset: nothing. */
struct terms {
	struct slice on;
	struct slice template;
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
static void append_item(
	struct buf *out, const struct channel *channel, struct slice address, const struct terms *terms)
{
	if (out->len > 0 && !out->error)
		out->data[out->len - 1] = ',';
	else
		buf_append_byte(out, '[');
	buf_printf(out, "{\"channel\":\"%s\",\"target\":{\"%s\":", channel->name, channel->key);
	json_append_string(out, address);
	if (slice_is_set(terms->template)) {
		buf_append_text(out, ",\"template\":");
		buf_append_slice(out, terms->template);
	}
	buf_append_byte(out, '}');
	if (slice_is_set(terms->on)) {
		buf_append_text(out, ",\"on\":");
		buf_append_slice(out, terms->on);
	}
	buf_append_text(out, "}]");
}

static int add(const struct reader *r, struct slice address, const struct terms *terms, const char *field)
{
	const char *why = NULL;
	int rc = r->channel->check(address, &why);

	if (rc == -EINVAL)
		return refuse(r->fault, field, why);
	if (rc < 0)
		return rc;
	if (++*r->receivers > DELIVER_RECEIVERS_MAX)
		return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "more than %d receivers",
			DELIVER_RECEIVERS_MAX);
	append_item(r->out, r->channel, address, terms);
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

static int read_address(
	const struct reader *r, struct slice value, const struct terms *terms, const char *field)
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
		rc = add(r, buf_slice(&text), terms, field);
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

static int check_template(const struct reader *r, struct slice name, const char *field)
{
	struct slice inside = slice_of(name.data + 1, name.len - 2);

	if (json_type_of(name) == JSON_STRING && name_is_valid(inside))
		return 0;
	return refuse(r->fault, field, "must be a template's name: letters, digits, \"_\", \".\" and \"-\"");
}

static int read_addresses(
	const struct reader *r, struct slice value, const struct terms *terms, const char *field)
{
	struct json_item item = {0};
	size_t index = 0;
	int rc = 0;

	if (!r->channel->takes_list || json_type_of(value) != JSON_ARRAY)
		return read_address(r, value, terms, field);
	while (rc == 0 && json_next_item(value, &item))
		rc = read_address(r, item.value, terms, place_of_item(field, index++).field);
	if (rc == 0 && index == 0)
		rc = refuse(r->fault, field, "names nobody");
	return rc;
}

/* One member of an object; null is as if it were not there. */
static int read_member(const struct reader *r, const struct json_member *m, struct slice *address,
	struct terms *terms, const char *field)
{
	bool is_given = json_type_of(m->value) != JSON_NULL;
	int rc = 0;

	if (json_key_is(m->key, r->channel->key)) {
		*address = m->value;
	} else if (json_key_is(m->key, "on")) {
		if (is_given && (rc = check_on(r, m->value, field)) == 0)
			terms->on = m->value;
	} else if (json_key_is(m->key, "template") && r->channel->takes_template) {
		if (is_given && (rc = check_template(r, m->value, field)) == 0)
			terms->template = m->value;
	} else {
		rc = refuse(r->fault, field, "unknown key");
	}
	return rc;
}

static int read_object(const struct reader *r, struct slice object, const char *field)
{
	struct fault_place at = fault_member(field, slice_text(r->channel->key));
	struct json_member m = {0};
	struct slice address = {0};
	struct terms terms = {0};
	int rc = 0;

	while (rc == 0 && json_next_member(object, &m))
		rc = read_member(r, &m, &address, &terms, fault_member(field, m.key).field);
	if (rc < 0)
		return rc;
	if (!slice_is_set(address))
		return fault_set(r->fault, PROBLEM_INVALID_FIELD, at.field, "%s is missing", r->channel->key);
	return read_addresses(r, address, &terms, at.field);
}

static int read_receiver(const struct reader *r, struct slice value, const char *field)
{
	switch (json_type_of(value)) {
	case JSON_STRING: return read_address(r, value, &(const struct terms){0}, field);
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
			return refuse(fault, at.field, DELIVER_NO_CHANNEL);
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
	uint8_t number[E164_TEXT_MAX];

	if (!r.channel)
		return refuse(fault, field, DELIVER_NO_CHANNEL);
	if (r.channel->begins_with_plus && address.len > 0 && address.len <= sizeof number &&
		address.data[0] == ' ') {
		memcpy(number, address.data, address.len);
		number[0] = '+';
		address = slice_of(number, address.len);
	}
	return add(&r, address, &(const struct terms){0}, field);
}
