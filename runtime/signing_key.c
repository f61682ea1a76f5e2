#include "runtime/signing_key.h"

#include <errno.h>
#include <openssl/evp.h>

#include "runtime/clock.h"

enum { BASE64_MAX = 4 * ((SIGNING_KEY_MAX + 2) / 3), SECRET_LEN = 32 };

_Static_assert(
	SIGNING_SECRET_TEXT_MAX == sizeof SIGNING_SECRET_PREFIX - 1 + BASE64_MAX, "room for the longest");

static bool is_base64(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
	       c == '/';
}

/* How many '=' end it; -EINVAL when it is not of full groups. */
static int padding_of(struct slice text)
{
	size_t padding = 0, body;

	while (padding < 2 && padding < text.len && text.data[text.len - padding - 1] == '=')
		padding++;
	body = text.len - padding;
	for (size_t i = 0; i < body; i++)
		if (!is_base64(text.data[i]))
			return -EINVAL;
	return body == 0 || text.len % 4 ? -EINVAL : (int)padding;
}

static int decode(struct slice text, uint8_t out[SIGNING_KEY_MAX], size_t *len)
{
	uint8_t decoded[BASE64_MAX / 4 * 3];
	int padding = text.len <= BASE64_MAX ? padding_of(text) : -EINVAL;
	int n = padding < 0 ? -1 : EVP_DecodeBlock(decoded, text.data, (int)text.len) - padding;
	bool is_good = n > 0 && n <= SIGNING_KEY_MAX;

	if (is_good) {
		*len = (size_t)n;
		memcpy(out, decoded, *len);
	}
	explicit_bzero(decoded, sizeof decoded);
	return is_good ? 0 : -EINVAL;
}

int signing_key_parse(struct slice text, const char *prefix, uint8_t out[SIGNING_KEY_MAX], size_t *len)
{
	size_t prefix_len = strlen(prefix);

	if (text.len <= prefix_len || memcmp(text.data, prefix, prefix_len) != 0)
		return -EINVAL;
	return decode(slice_of(text.data + prefix_len, text.len - prefix_len), out, len);
}

bool signing_secret_is_valid(struct slice text)
{
	uint8_t bytes[SIGNING_KEY_MAX];
	size_t len = 0;
	int rc = signing_key_parse(text, SIGNING_SECRET_PREFIX, bytes, &len);

	explicit_bzero(bytes, sizeof bytes);
	return rc == 0 && len >= SIGNING_SECRET_MIN;
}

void signing_secret_make(char text[SIGNING_SECRET_TEXT_MAX + 1])
{
	const size_t prefix_len = sizeof SIGNING_SECRET_PREFIX - 1;
	uint8_t bytes[SECRET_LEN];

	random_fill(bytes, sizeof bytes);
	memcpy(text, SIGNING_SECRET_PREFIX, prefix_len);
	EVP_EncodeBlock((unsigned char *)text + prefix_len, bytes, sizeof bytes);
	explicit_bzero(bytes, sizeof bytes);
}
