#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/equal.h"

/* Whoever may publish to the exchange reaches every gateway's decoder. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice bytes = slice_of(data, len);
	struct decode_error error;
	struct live_message m;
	struct live_mark mark;
	struct slice event;
	int rc = live_message_round_trip(bytes);

	fuzz_require(rc == 0 || rc == -EBADMSG);
	rc = live_event_round_trip(bytes);
	fuzz_require(rc == 0 || rc == -EBADMSG || rc == -ENOMSG);
	if (live_message_decode(bytes, &m, &error) < 0)
		return 0;
	for (size_t i = 0; live_mark_at(m.marks, i, &mark); i++)
		fuzz_require(i < LIVE_MARKS_MAX);
	for (size_t at = 0; live_next_event(m.events, &at, &event);) {
		struct live_event e;
		struct id id;

		if (live_event_id(event, &id) && live_event_decode(event, &e, &error) == 0)
			fuzz_require(id_is_equal(&id, &e.id));
		rc = live_event_round_trip(event);
		fuzz_require(rc == 0 || rc == -EBADMSG || rc == -ENOMSG);
	}
	return 0;
}
