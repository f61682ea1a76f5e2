#include "proto/trace.h"

#include <string.h>

enum { PARENT_LEN = 55, TRACE_AT = 3, TRACE_LEN = 32, SPAN_AT = 36, SPAN_LEN = 16, FLAGS_AT = 53 };

static bool is_hex(struct slice text, size_t at, size_t len)
{
	for (size_t i = at; i < at + len; i++) {
		uint8_t c = text.data[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

static bool is_zero(struct slice text, size_t at, size_t len)
{
	for (size_t i = at; i < at + len; i++)
		if (text.data[i] != '0')
			return false;
	return true;
}

static bool has_good_length(struct slice text)
{
	if (text.len < PARENT_LEN)
		return false;
	if (memcmp(text.data, "00", 2) == 0)
		return text.len == PARENT_LEN;
	return memcmp(text.data, "ff", 2) != 0 && text.len <= TRACE_TEXT_MAX &&
	       (text.len == PARENT_LEN || text.data[PARENT_LEN] == '-');
}

static bool is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
	return true;
}

bool trace_parent_is_valid(struct slice text)
{
	if (!has_good_length(text) || !is_printable(text))
		return false;
	if (text.data[TRACE_AT - 1] != '-' || text.data[SPAN_AT - 1] != '-' || text.data[FLAGS_AT - 1] != '-')
		return false;
	return is_hex(text, 0, 2) && is_hex(text, TRACE_AT, TRACE_LEN) && is_hex(text, SPAN_AT, SPAN_LEN) &&
	       is_hex(text, FLAGS_AT, 2) && !is_zero(text, TRACE_AT, TRACE_LEN) &&
	       !is_zero(text, SPAN_AT, SPAN_LEN);
}

bool trace_state_is_valid(struct slice text)
{
	return text.len > 0 && text.len <= TRACE_TEXT_MAX && is_printable(text);
}

struct trace trace_of(struct slice parent, struct slice state)
{
	struct trace t = {0};

	if (!trace_parent_is_valid(parent))
		return t;
	t.parent = parent;
	if (trace_state_is_valid(state))
		t.state = state;
	return t;
}
