#include "gateway/keys.h"

#include <errno.h>
#include <stdio.h>

#include "base/hex.h"

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
	if (hex_decode(hex, key.bytes, ID_KEY_LEN) < 0)
		return -EINVAL;
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
