#include "gateway/keys.h"

#include <errno.h>
#include <stdio.h>

static int digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static struct slice without_line_end(struct slice text)
{
	while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	return text;
}

int keys_parse(struct slice content, struct id_key *out)
{
	struct slice hex = without_line_end(content);
	struct id_key key;

	if (content.len == ID_KEY_LEN) {
		memcpy(out->bytes, content.data, ID_KEY_LEN);
		return 0;
	}
	if (hex.len != 2 * ID_KEY_LEN)
		return -EINVAL;
	for (size_t i = 0; i < ID_KEY_LEN; i++) {
		int high = digit_of(hex.data[2 * i]), low = digit_of(hex.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		key.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*out = key;
	return 0;
}

int keys_read_file(const char *path, struct id_key *out)
{
	uint8_t content[2 * ID_KEY_LEN + 8];
	FILE *file = fopen(path, "re");
	size_t len;
	int rc;

	if (!file)
		return -errno;
	len = fread(content, 1, sizeof content, file);
	rc = ferror(file) ? -EIO : keys_parse(slice_of(content, len), out);
	fclose(file);
	explicit_bzero(content, sizeof content);
	return rc;
}
