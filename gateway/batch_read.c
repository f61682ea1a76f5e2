#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/batch.h"
#include "gateway/envelope.h"
#include "proto/json.h"

static size_t count_items(struct slice array)
{
	struct json_item i = {0};
	size_t len = 0;

	while (json_next_item(array, &i))
		len++;
	return len;
}

static int read_item(
	struct batch_item *item, struct slice value, const char *field, const struct submission_rules *rules)
{
	int rc = envelope_read(value, field, rules, &item->submission, &item->fault);

	return rc == -EINVAL ? 0 : rc;
}

static int read_items(struct slice array, const char *base, size_t max, const struct submission_rules *rules,
	struct batch_read *out, struct fault *fault)
{
	size_t len = count_items(array);
	struct json_item i = {0};
	int rc = 0;

	if (json_type_of(array) != JSON_ARRAY || len == 0)
		return fault_set(
			fault, PROBLEM_INVALID_FIELD, base, "must be an array of envelopes, at least one");
	if (len > max)
		return fault_set(fault, PROBLEM_INVALID_FIELD, base, "more than %zu tasks in one batch", max);
	out->items = calloc(len, sizeof *out->items);
	if (!out->items)
		return -ENOMEM;
	while (rc == 0 && json_next_item(array, &i)) {
		char field[40];

		snprintf(field, sizeof field, "%s/%zu", base, out->len);
		rc = read_item(&out->items[out->len++], i.value, field, rules);
	}
	return rc;
}

static int read_object(struct slice object, size_t max, const struct submission_rules *rules,
	struct batch_read *out, struct fault *fault)
{
	struct json_member m = {0};
	struct slice tasks = {0};
	int rc = 0;

	while (rc == 0 && json_next_member(object, &m)) {
		if (json_key_is(m.key, "tasks"))
			tasks = m.value;
		else if (!json_key_is(m.key, "then"))
			return fault_set(
				fault, PROBLEM_INVALID_FIELD, fault_member("", m.key).field, "unknown key");
		else if (json_type_of(m.value) != JSON_NULL)
			rc = envelope_read_then(m.value, "/then", rules, &out->then, fault);
	}
	if (rc < 0)
		return rc;
	if (!slice_is_set(tasks))
		return fault_set(fault, PROBLEM_INVALID_FIELD, "/tasks", "`tasks` is missing");
	return read_items(tasks, "/tasks", max, rules, out, fault);
}

int batch_read(struct slice json, size_t max, const struct submission_rules *rules, struct batch_read *out,
	struct fault *fault)
{
	int rc = envelope_check_json(json, fault);

	*out = (struct batch_read){0};
	if (rc < 0)
		return rc;
	if (json_type_of(json) == JSON_OBJECT)
		rc = read_object(json, max, rules, out, fault);
	else
		rc = read_items(json, "", max, rules, out, fault);
	if (rc < 0)
		batch_read_done(out);
	return rc;
}

void batch_read_done(struct batch_read *b)
{
	for (size_t i = 0; i < b->len; i++)
		submission_free(b->items[i].submission);
	submission_free(b->then);
	free(b->items);
	*b = (struct batch_read){0};
}
