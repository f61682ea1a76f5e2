#include "gateway/result.h"

#include "gateway/answer.h"
#include "gateway/failure.h"
#include "service/json_out.h"
#include "service/status.h"

enum { MEMBERS_MAX = 32 * 1024 * 1024 };

static void answer_success(struct call *call, const struct store_task *task)
{
	answer_guard_headers(call);
	call_set_header(call, "Cache-Control", "private, no-cache");
	call_answer(call, 200, task->content_type, task->result);
}

static const char *sentence_of(const struct store_task *task)
{
	switch (task->state) {
	case TASK_CANCELED: return "the task was canceled";
	case TASK_DEAD: return "the task could not be run to an answer";
	case TASK_FAILED:
	case TASK_SCHEDULED:
	case TASK_QUEUED:
	case TASK_RUNNING:
	case TASK_SUCCEEDED: break;
	}
	return "the task failed";
}

static void answer_failure(struct call *call, const struct store_task *task)
{
	struct answer answer;
	struct buf members;

	answer_init(&answer);
	buf_init(&members, MEMBERS_MAX);
	json_out_id(&members, "id", &task->id);
	if (slice_is_set(task->error.type)) {
		json_out_key(&members, "error");
		status_render_error(&task->error, &members);
	}
	answer_problem(&answer, failure_of_state(task->state, &task->error), NULL, buf_text(&members),
		sentence_of(task), call);
	answer_send(&answer, call);
	buf_done(&members);
	answer_done(&answer);
}

static void answer(struct call *call, const struct store_task *task)
{
	if (!task_state_is_terminal(task->state))
		poll_answer_status(call, 202, task);
	else if (task->state == TASK_SUCCEEDED)
		answer_success(call, task);
	else
		answer_failure(call, task);
}

const struct poll_view result_view = {.with = STORE_WITH_RESULT, .until_end = true, .answer = answer};
