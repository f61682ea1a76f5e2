#include "runtime/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first;
	struct mail **end;
	int fd;
};

int mailbox_new(struct mailbox **out)
{
	struct mailbox *m = calloc(1, sizeof *m);
	int rc;

	if (!m)
		return -ENOMEM;
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0) {
		rc = -errno;
		free(m);
		return rc;
	}
	pthread_mutex_init(&m->lock, NULL);
	m->end = &m->first;
	*out = m;
	return 0;
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* An eventfd that counts single wakes and is read back to zero can neither be full nor fail. */
static void wake(struct mailbox *m)
{
	uint64_t one = 1;
	ssize_t n;

	do {
		n = write(m->fd, &one, sizeof one);
	} while (n < 0 && errno == EINTR);
}

static void clear_wake(struct mailbox *m)
{
	uint64_t count;
	ssize_t n;

	do {
		n = read(m->fd, &count, sizeof count);
	} while (n < 0 && errno == EINTR);
}

void mailbox_post(struct mailbox *m, struct mail *mail)
{
	mail->next = NULL;
	mailbox_post_all(m, mail, &mail->next);
}

void mailbox_post_all(struct mailbox *m, struct mail *first, struct mail **end)
{
	bool was_empty;

	pthread_mutex_lock(&m->lock);
	was_empty = m->first == NULL;
	*m->end = first;
	m->end = end;
	/* Inside the lock: outside it, the taker could already have freed the mailbox. */
	if (was_empty)
		wake(m);
	pthread_mutex_unlock(&m->lock);
}

void mailbox_wake(struct mailbox *m)
{
	pthread_mutex_lock(&m->lock);
	wake(m);
	pthread_mutex_unlock(&m->lock);
}

bool mailbox_is_empty(struct mailbox *m)
{
	bool is_empty;

	pthread_mutex_lock(&m->lock);
	is_empty = m->first == NULL;
	pthread_mutex_unlock(&m->lock);
	return is_empty;
}

struct mail *mailbox_take(struct mailbox *m)
{
	struct mail *first;

	pthread_mutex_lock(&m->lock);
	first = m->first;
	m->first = NULL;
	m->end = &m->first;
	clear_wake(m);
	pthread_mutex_unlock(&m->lock);
	return first;
}

int mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}
