#include "gateway/chunked.h"

#include <assert.h>

#include "base/hex.h"

enum { DIGITS_MAX = 8 };

void chunked_init(struct chunked *c)
{
	*c = (struct chunked){.state = CHUNKED_IN_SIZE};
}

static bool is_text(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static enum chunked_status go(struct chunked *c, bool is_allowed, enum chunked_state next)
{
	c->state = next;
	return is_allowed ? CHUNKED_MORE : CHUNKED_WRONG;
}

/* Extensions and trailers mean nothing here; a byte of them costs, and their line ends at the CR. */
static enum chunked_status skip(
	struct chunked *c, uint8_t byte, enum chunked_state same, enum chunked_state at_lf)
{
	if (byte == '\r')
		return go(c, true, at_lf);
	return go(c, is_text(byte) && ++c->extra <= CHUNKED_EXTRA_MAX, same);
}

static enum chunked_status take_behind_size(struct chunked *c, uint8_t byte)
{
	if (byte == ' ' || byte == '\t')
		return skip(c, byte, CHUNKED_BEHIND_SIZE, CHUNKED_AT_SIZE_LF);
	if (byte == '\r' || byte == ';')
		return skip(c, byte, CHUNKED_IN_EXTENSION, CHUNKED_AT_SIZE_LF);
	return CHUNKED_WRONG;
}

static enum chunked_status take_size(struct chunked *c, uint8_t byte)
{
	int value = hex_value(byte);

	if (value >= 0) {
		c->left = c->left << 4 | (unsigned)value;
		return go(c, ++c->digits <= DIGITS_MAX, CHUNKED_IN_SIZE);
	}
	return c->digits == 0 ? CHUNKED_WRONG : take_behind_size(c, byte);
}

static enum chunked_status end_size(struct chunked *c, uint8_t byte)
{
	bool is_last = c->left == 0;

	c->digits = 0;
	if (go(c, byte == '\n', is_last ? CHUNKED_AT_TRAILER : CHUNKED_IN_DATA) == CHUNKED_WRONG)
		return CHUNKED_WRONG;
	return is_last ? CHUNKED_MORE : CHUNKED_DATA;
}

static enum chunked_status take(struct chunked *c, uint8_t byte)
{
	switch (c->state) {
	case CHUNKED_IN_SIZE: return take_size(c, byte);
	case CHUNKED_BEHIND_SIZE: return take_behind_size(c, byte);
	case CHUNKED_IN_EXTENSION: return skip(c, byte, CHUNKED_IN_EXTENSION, CHUNKED_AT_SIZE_LF);
	case CHUNKED_AT_SIZE_LF: return end_size(c, byte);
	case CHUNKED_IN_DATA: return CHUNKED_DATA;
	case CHUNKED_AT_DATA_CR: return go(c, byte == '\r', CHUNKED_AT_DATA_LF);
	case CHUNKED_AT_DATA_LF: return go(c, byte == '\n', CHUNKED_IN_SIZE);
	case CHUNKED_AT_TRAILER: return skip(c, byte, CHUNKED_IN_TRAILER, CHUNKED_AT_END_LF);
	case CHUNKED_IN_TRAILER: return skip(c, byte, CHUNKED_IN_TRAILER, CHUNKED_AT_TRAILER_LF);
	case CHUNKED_AT_TRAILER_LF: return go(c, byte == '\n', CHUNKED_AT_TRAILER);
	case CHUNKED_AT_END_LF: return byte == '\n' ? CHUNKED_DONE : CHUNKED_WRONG;
	}
	return CHUNKED_WRONG;
}

enum chunked_status chunked_feed(struct chunked *c, struct slice bytes, size_t *used)
{
	enum chunked_status status = c->state == CHUNKED_IN_DATA ? CHUNKED_DATA : CHUNKED_MORE;

	*used = 0;
	while (status == CHUNKED_MORE && *used < bytes.len)
		status = take(c, bytes.data[(*used)++]);
	return status;
}

bool chunked_moved(struct chunked *c, uint64_t len)
{
	assert(c->state == CHUNKED_IN_DATA && len <= c->left);
	c->left -= len;
	if (c->left == 0)
		c->state = CHUNKED_AT_DATA_CR;
	return c->left == 0;
}
