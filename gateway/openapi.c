#include "gateway/openapi.h"

#include <errno.h>
#include <openssl/evp.h>

enum { DIGEST_LEN = 32, DIGEST_TEXT_LEN = 4 * ((DIGEST_LEN + 2) / 3), POLICY_MAX = 1024 };

/* Made of the files by the build. */
extern const unsigned char openapi_json[], docs_page_html[];
extern const size_t openapi_json_len, docs_page_html_len;

/* What stands between the first `open` and the `close` after it; unset: it is not there. */
static struct slice inside(struct slice page, const char *open, const char *close)
{
	const uint8_t *start = memmem(page.data, page.len, open, strlen(open));
	const uint8_t *end;

	if (!start)
		return (struct slice){0};
	start += strlen(open);
	end = memmem(start, page.len - (size_t)(start - page.data), close, strlen(close));
	return end ? slice_of(start, (size_t)(end - start)) : (struct slice){0};
}

static int append_source(struct buf *out, const char *directive, struct slice text)
{
	unsigned char digest[DIGEST_LEN], base64[DIGEST_TEXT_LEN + 1];

	if (!slice_is_set(text))
		return -EINVAL;
	if (EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	EVP_EncodeBlock(base64, digest, sizeof digest);
	return buf_printf(out, "; %s 'sha256-%s'", directive, base64);
}

int openapi_page_policy(struct slice page, struct buf *out)
{
	int rc = buf_append_text(out, "default-src 'none'; connect-src 'self'; base-uri 'none'; "
				      "form-action 'none'; frame-ancestors 'none'");

	if (rc == 0)
		rc = append_source(out, "script-src", inside(page, "<script>", "</script>"));
	if (rc == 0)
		rc = append_source(out, "style-src", inside(page, "<style>", "</style>"));
	return rc;
}

void openapi_get(struct call *call, void *arg)
{
	call_set_header(call, "Cache-Control", "no-cache");
	call_answer_json(call, 200, slice_of(openapi_json, openapi_json_len));
}

void openapi_get_page(struct call *call, void *arg)
{
	struct slice page = slice_of(docs_page_html, docs_page_html_len);
	struct buf policy;

	buf_init(&policy, POLICY_MAX);
	if (openapi_page_policy(page, &policy) < 0 || !buf_text(&policy)) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
	} else {
		call_set_header(call, "Content-Security-Policy", buf_text(&policy));
		call_set_header(call, "Cache-Control", "no-cache");
		call_answer(call, 200, slice_text("text/html; charset=utf-8"), page);
	}
	buf_done(&policy);
}
