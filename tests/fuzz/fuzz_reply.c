#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/equal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int rc = reply_round_trip(slice_of(data, len));

	fuzz_require(rc == 0 || rc == -EBADMSG);
	return 0;
}
