/*
 * Whether a task has a queue, and how it stands: asked of the broker, with an end to the waiting when it does not answer.
 */
#ifndef GATEWAY_QUESTION_H
#define GATEWAY_QUESTION_H

#include "gateway/known.h"
#include "service/service.h"

struct questions;

/* Borrows both. `timeout_ms`: how long an answer is waited for. */
int questions_new(struct service *service, struct known *known, int64_t timeout_ms, struct questions **out);
/* Those without an answer end without a callback. */
void questions_free(struct questions *q);

/*
 * 0 and later exactly one callback with 0, -ENOTCONN or -ETIMEDOUT (`info` is NULL then); -ENOTCONN or -ENOMEM and none.
 * What is learnt goes to the known names.
 */
int question_ask(struct questions *q, const char *task, broker_queue_cb *cb, void *arg);

#endif
