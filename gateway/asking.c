#include "gateway/asking.h"

#include <stdlib.h>

#include "gateway/lookup.h"

void *asking_new(struct gateway *g, struct call *call, size_t size)
{
	struct asking *a = calloc(1, size);

	if (a)
		*a = (struct asking){g, call};
	else
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
	return a;
}

void asking_begin(void *asking, int rc)
{
	struct asking *a = asking;

	if (rc == 0) {
		gateway_job_begin(a->g);
		return;
	}
	lookup_store_failed(a->call);
	free(a);
}

void asking_end(void *asking)
{
	struct asking *a = asking;

	gateway_job_end(a->g);
	free(a);
}
