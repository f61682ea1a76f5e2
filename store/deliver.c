#include "store/deliver.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

static bool is_wanted(const json_t *on, enum task_state state)
{
	size_t i;
	json_t *name;

	if (!on)
		return true;
	json_array_foreach(on, i, name)
	{
		if (json_is_string(name) && strcmp(json_string_value(name), task_state_name(state)) == 0)
			return true;
	}
	return false;
}

static int take(const json_t *item, struct arena *a, struct delivery *out)
{
	const json_t *channel = json_object_get(item, "channel");
	char *text = json_dumps(json_object_get(item, "target"), JSON_COMPACT);

	if (!text)
		return -ENOMEM;
	out->channel = arena_copy(a, slice_of(json_string_value(channel), json_string_length(channel)));
	out->target = arena_copy(a, slice_text(text));
	free(text);
	return a->has_failed ? -ENOMEM : 0;
}

static bool is_delivery(const json_t *item)
{
	const json_t *on = json_object_get(item, "on");

	return json_is_string(json_object_get(item, "channel")) &&
	       json_is_object(json_object_get(item, "target")) && (!on || json_is_array(on));
}

static int select_from(
	const json_t *list, enum task_state state, struct arena *a, struct delivery *out, size_t *len)
{
	size_t i, n = 0;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		int rc = 0;

		if (!is_delivery(item))
			return -EBADMSG;
		if (is_wanted(json_object_get(item, "on"), state))
			rc = take(item, a, &out[n++]);
		if (rc < 0)
			return rc;
	}
	*len = n;
	return 0;
}

int deliver_select(
	struct slice text, enum task_state state, struct arena *a, struct delivery **out, size_t *len)
{
	struct delivery *found;
	json_t *list;
	int rc = -EBADMSG;

	*len = 0;
	if (!slice_is_set(text))
		return 0;
	list = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_array(list) || json_array_size(list) > DELIVER_MAX)
		goto out;
	found = arena_alloc(a, json_array_size(list), sizeof *found);
	rc = found ? select_from(list, state, a, found, len) : -ENOMEM;
	if (rc == 0)
		*out = found;
out:
	json_decref(list);
	return rc;
}
