#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/mailbox.h"

struct letter {
	struct mail mail;
	int sender;
	int number;
};

static bool is_readable(const struct mailbox *m)
{
	struct pollfd fd = {.fd = mailbox_fd(m), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void an_empty_mailbox_gives_nothing_and_is_not_readable(void **state)
{
	struct mailbox *m;

	assert_int_equal(mailbox_new(&m), 0);
	assert_false(is_readable(m));
	assert_null(mailbox_take(m));
	mailbox_free(m);
}

static void a_batch_is_taken_at_once_in_order_and_wakes_once(void **state)
{
	struct letter letters[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
	struct mailbox *m;
	struct mail *mail;

	assert_int_equal(mailbox_new(&m), 0);
	for (int i = 0; i < 3; i++)
		mailbox_post(m, &letters[i].mail);
	assert_true(is_readable(m));
	mail = mailbox_take(m);
	assert_false(is_readable(m));
	for (int i = 0; i < 3; i++, mail = mail->next)
		assert_ptr_equal(mail, &letters[i].mail);
	assert_null(mail);
	assert_null(mailbox_take(m));
	mailbox_free(m);
}

static void a_chain_follows_what_was_posted_before(void **state)
{
	struct letter letters[4];
	struct mailbox *m;
	struct mail *mail;

	assert_int_equal(mailbox_new(&m), 0);
	letters[1].mail.next = &letters[2].mail;
	letters[2].mail.next = NULL;
	mailbox_post(m, &letters[0].mail);
	mailbox_post_all(m, &letters[1].mail, &letters[2].mail.next);
	mailbox_post(m, &letters[3].mail);
	mail = mailbox_take(m);
	for (int i = 0; i < 4; i++, mail = mail->next)
		assert_ptr_equal(mail, &letters[i].mail);
	assert_null(mail);
	mailbox_free(m);
}

enum { SENDERS = 4, LETTERS = 20000 };

struct sender {
	struct mailbox *mailbox;
	int number;
	struct letter *letters;
};

static void *post_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < LETTERS; i++) {
		s->letters[i].sender = s->number;
		s->letters[i].number = i;
		mailbox_post(s->mailbox, &s->letters[i].mail);
	}
	return NULL;
}

static void nothing_is_lost_and_each_sender_keeps_its_order(void **state)
{
	struct sender senders[SENDERS];
	pthread_t threads[SENDERS];
	int next[SENDERS] = {0};
	struct mailbox *m;
	int taken = 0;

	assert_int_equal(mailbox_new(&m), 0);
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){m, i, calloc(LETTERS, sizeof(struct letter))};
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &senders[i]), 0);
	}
	while (taken < SENDERS * LETTERS) {
		struct pollfd fd = {.fd = mailbox_fd(m), .events = POLLIN};

		assert_int_equal(poll(&fd, 1, 60000), 1);
		for (struct mail *mail = mailbox_take(m); mail; mail = mail->next, taken++) {
			struct letter *letter = (struct letter *)mail;

			assert_int_equal(letter->number, next[letter->sender]++);
		}
	}
	for (int i = 0; i < SENDERS; i++) {
		pthread_join(threads[i], NULL);
		free(senders[i].letters);
	}
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_mailbox_gives_nothing_and_is_not_readable),
		cmocka_unit_test(a_batch_is_taken_at_once_in_order_and_wakes_once),
		cmocka_unit_test(a_chain_follows_what_was_posted_before),
		cmocka_unit_test(nothing_is_lost_and_each_sender_keeps_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
