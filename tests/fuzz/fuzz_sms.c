#include <errno.h>

#include "base/utf8.h"
#include "notifier/sms_provider.h"
#include "tests/fuzz/fuzz.h"

static void require_fit(struct slice text, size_t segments_max, size_t before)
{
	struct sms_text fit = sms_text_fit(text, segments_max);
	size_t room = fit.alphabet == SMS_GSM ? 160 : 70;
	struct sms_text again = sms_text_fit(fit.text, segments_max);

	fuzz_require(fit.text.len <= text.len && fit.text.len >= before);
	fuzz_require(fit.segments <= segments_max);
	fuzz_require(fit.units <= room * segments_max);
	fuzz_require((fit.segments == 0) == (text.len == 0));
	fuzz_require(utf8_is_valid(fit.text));
	fuzz_require(again.text.len == fit.text.len && again.units == fit.units);
}

/* As a text to send, and as what a provider answers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct http_response answer = {
		.result = HTTP_ANSWERED, .status = 400, .body = slice_of(data, len)};
	struct sms_answer judged;
	struct buf clean;
	size_t kept = 0;

	buf_init(&clean, 3 * len);
	fuzz_require(sms_text_clean(slice_of(data, len), &clean) == 0);
	fuzz_require(utf8_is_valid(buf_slice(&clean)));
	for (size_t max = 1; max <= SMS_TEXT_SEGMENTS_MAX; max++) {
		require_fit(buf_slice(&clean), max, kept);
		kept = sms_text_fit(buf_slice(&clean), max).text.len;
	}
	buf_done(&clean);
	for (int provider = 0; provider < SMS_PROVIDERS; provider++) {
		sms_provider_judge(sms_provider_of(provider), &answer, slice_of(data, len), 0, &judged);
		fuzz_require(judged.verdict != SMS_DELIVERED && *judged.error);
	}
	return 0;
}
