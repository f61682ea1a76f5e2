#include "notifier/sms_request.h"

#include <errno.h>
#include <openssl/evp.h>

enum { HEAD_MAX = 16384, CREDENTIALS_MAX = 1024 };

void sms_request_init(struct sms_request *r, const char *method)
{
	*r = (struct sms_request){.method = method};
	buf_init(&r->url, SMS_REQUEST_URL_MAX);
	buf_init(&r->body, SMS_REQUEST_BODY_MAX);
	buf_init(&r->head, HEAD_MAX);
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

void sms_request_done(struct sms_request *r)
{
	wipe(&r->url);
	wipe(&r->body);
	wipe(&r->head);
}

void sms_request_end_header(struct sms_request *r)
{
	buf_append_byte(&r->head, '\0');
}

void sms_request_add_header(struct sms_request *r, const char *name, struct slice value)
{
	buf_printf(&r->head, "%s: ", name);
	buf_append_slice(&r->head, value);
	sms_request_end_header(r);
}

int sms_request_append_credentials(struct buf *out, const char *username, const char *password)
{
	unsigned char encoded[CREDENTIALS_MAX / 3 * 4 + 8];
	struct buf plain;

	buf_init(&plain, CREDENTIALS_MAX);
	buf_printf(&plain, "%s:%s", username, password);
	if (plain.error) {
		wipe(&plain);
		return out->error = out->error ? out->error : -EMSGSIZE;
	}
	buf_append(out, encoded, (size_t)EVP_EncodeBlock(encoded, plain.data, (int)plain.len));
	explicit_bzero(encoded, sizeof encoded);
	wipe(&plain);
	return out->error;
}

void sms_request_add_basic(struct sms_request *r, const char *username, const char *password)
{
	buf_append_text(&r->head, "Authorization: Basic ");
	sms_request_append_credentials(&r->head, username, password);
	sms_request_end_header(r);
}

int sms_request_end(struct sms_request *r)
{
	const char *at = (const char *)r->head.data;
	size_t left = r->head.len;
	int rc = r->url.error ? r->url.error : r->body.error ? r->body.error : r->head.error;

	if (rc < 0 || !buf_text(&r->url))
		return rc < 0 ? rc : r->url.error;
	for (size_t i = 0; left > 0; i++) {
		size_t len = strlen(at) + 1;

		if (i == SMS_HEADERS_MAX)
			return -EMSGSIZE;
		r->lines[i] = at;
		at += len;
		left -= len;
	}
	return 0;
}
