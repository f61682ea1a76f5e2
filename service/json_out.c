#include "service/json_out.h"

#include "proto/json.h"
#include "runtime/clock.h"

enum { NUMBER_LEN = 20 }; /* of the smallest int64_t */

static void comma(struct buf *out)
{
	uint8_t last;

	if (out->error || out->len == 0)
		return;
	last = out->data[out->len - 1];
	if (last != '{' && last != '[' && last != ':')
		buf_append_byte(out, ',');
}

void json_out_key(struct buf *out, const char *key)
{
	comma(out);
	buf_append_byte(out, '"');
	buf_append_text(out, key);
	buf_append(out, "\":", 2);
}

void json_out_text(struct buf *out, const char *key, struct slice text)
{
	json_out_key(out, key);
	if (slice_is_set(text))
		json_append_string(out, text);
	else
		buf_append_text(out, "null");
}

void json_out_raw(struct buf *out, const char *key, struct slice json)
{
	json_out_key(out, key);
	if (slice_is_set(json))
		buf_append_slice(out, json);
	else
		buf_append_text(out, "null");
}

void json_out_number(struct buf *out, const char *key, int64_t number)
{
	char text[NUMBER_LEN];
	char *at = text + sizeof text;
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		*--at = '-';
	json_out_key(out, key);
	buf_append(out, at, (size_t)(text + sizeof text - at));
}

void json_out_bool(struct buf *out, const char *key, bool value)
{
	json_out_key(out, key);
	buf_append_text(out, value ? "true" : "false");
}

void json_out_time(struct buf *out, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_LEN + 1];

	if (wall_ms)
		clock_format(wall_ms, text);
	json_out_text(out, key, slice_text(wall_ms ? text : NULL));
}

void json_out_id(struct buf *out, const char *key, const struct id *id)
{
	char text[ID_TEXT_LEN + 1];

	id_format(id, text);
	json_out_text(out, key, slice_text(text));
}

void json_out_open(struct buf *out, const char *key, char bracket)
{
	if (key)
		json_out_key(out, key);
	else
		comma(out);
	buf_append_byte(out, (uint8_t)bracket);
}

void json_out_close(struct buf *out, char bracket)
{
	buf_append_byte(out, (uint8_t)bracket);
}

void json_out_item_text(struct buf *out, struct slice text)
{
	comma(out);
	json_append_string(out, text);
}
