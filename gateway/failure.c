#include "gateway/failure.h"

/* Types of errors that say more than whether another attempt could help. */
static const struct {
	const char *type;
	enum problem problem;
} types[] = {
	{"timeout", PROBLEM_HANDLER_TIMEOUT},
	{"expired", PROBLEM_HANDLER_TIMEOUT},
	{"output_too_large", PROBLEM_HANDLER_BROKEN},
	{"upstream_redirect", PROBLEM_HANDLER_BROKEN},
};

/* What could succeed another time was not the request's fault. */
enum problem failure_problem(struct slice type, bool retryable)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (slice_is_text(type, types[i].type))
			return types[i].problem;
	return retryable ? PROBLEM_HANDLER_BROKEN : PROBLEM_TASK_FAILED;
}

enum problem failure_of_state(enum task_state state, const struct store_error *error)
{
	switch (state) {
	case TASK_CANCELED: return PROBLEM_TASK_CANCELED;
	case TASK_DEAD: return PROBLEM_TASK_DEAD;
	case TASK_FAILED:
	case TASK_SCHEDULED:
	case TASK_QUEUED:
	case TASK_RUNNING:
	case TASK_SUCCEEDED: break;
	}
	return failure_problem(error->type, error->retryable);
}

bool failure_passes_through(struct slice type, int32_t status)
{
	return slice_is_text(type, "upstream_status") && status >= 400 && status <= 499;
}
