#include "notifier/email_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/clock.h"

enum {
	IDLE_MS = 5000, /* a connection is kept without messages; servers keep it for longer */
	REPLY_CLOSING = 421,
};

struct worker {
	struct email_client *client;
	pthread_t thread;
	CURL *easy; /* with its connection; NULL: not connected */
	struct email_job *job;
	size_t sent; /* bytes of the job's message */
	int64_t deadline_ms;
	bool has_authenticated;
	char error[CURL_ERROR_SIZE];
};

struct email_client {
	const struct email_options *options;
	enum email_starttls starttls;
	email_done_cb *on_done;
	void *arg;
	struct mailbox *done;
	struct loop_mail *done_mail;
	atomic_bool is_stopping;
	pthread_mutex_t lock; /* over the queue */
	pthread_cond_t wake;
	struct mail *first, **end;
	struct worker *workers;
	size_t workers_len; /* started */
	bool has_curl;
};

/* ---- the queue ---- */

static struct email_job *pop(struct email_client *c)
{
	struct mail *mail = c->first;

	if (!mail)
		return NULL;
	c->first = mail->next;
	if (!c->first)
		c->end = &c->first;
	return (struct email_job *)mail;
}

void email_client_send(struct email_client *c, struct email_job *job)
{
	job->mail.next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->end = &job->mail;
	c->end = &job->mail.next;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

struct email_job *email_client_take_back(struct email_client *c)
{
	struct email_job *job;

	pthread_mutex_lock(&c->lock);
	job = pop(c);
	pthread_mutex_unlock(&c->lock);
	return job;
}

static struct timespec until(int64_t mono_ms)
{
	return (struct timespec){.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};
}

/* NULL: the client ends, or nothing came while a connection was kept for it. */
static struct email_job *next_job(struct worker *w)
{
	struct email_client *c = w->client;
	struct timespec idle_end = until(clock_mono_ms() + IDLE_MS);
	struct email_job *job;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	while (!(job = pop(c)) && !atomic_load(&c->is_stopping) && rc == 0) {
		if (w->easy)
			rc = pthread_cond_clockwait(&c->wake, &c->lock, CLOCK_MONOTONIC, &idle_end);
		else
			rc = pthread_cond_wait(&c->wake, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return job;
}

/* ---- libcurl ---- */

static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
	struct worker *w = arg;
	struct slice message = w->job->message;
	size_t left = message.len - w->sent;
	size_t len = size * count < left ? size * count : left;

	memcpy(out, message.data + w->sent, len);
	w->sent += len;
	return len;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct worker *w = arg;

	email_session_received(&w->job->session, slice_of(data, size * count));
	return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	return size * count;
}

/* Lines that are sent are told nowhere else. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t len, void *arg)
{
	struct worker *w = arg;

	if (type == CURLINFO_HEADER_OUT && w->job)
		email_session_sent(&w->job->session, slice_of(data, len));
	return 0;
}

/*
 * Asked about once a second while there is something to wait for. The answer to QUIT, for which libcurl's own limits do
 * not count, is not waited for any longer: it changes nothing.
 */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct worker *w = arg;

	return atomic_load(&w->client->is_stopping) || clock_mono_ms() > w->deadline_ms ||
	       w->job->session.is_quitting;
}

static long use_ssl(enum email_starttls policy)
{
	switch (policy) {
	case EMAIL_STARTTLS_NEVER: return CURLUSESSL_NONE;
	case EMAIL_STARTTLS_OPTIONAL: return CURLUSESSL_TRY;
	case EMAIL_STARTTLS_AUTO:
	case EMAIL_STARTTLS_REQUIRED: break;
	}
	return CURLUSESSL_ALL;
}

static void set_callbacks(struct worker *w, CURL *e)
{
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_READDATA, w);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, w);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(e, CURLOPT_DEBUGDATA, w);
	curl_easy_setopt(e, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, w);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, w->error);
}

static void set_server(const struct email_client *c, CURL *e)
{
	const struct email_options *o = c->options;

	curl_easy_setopt(e, CURLOPT_URL, o->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_USE_SSL, use_ssl(c->starttls));
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (*o->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, o->ca_file);
	if (*o->username) {
		curl_easy_setopt(e, CURLOPT_USERNAME, o->username);
		curl_easy_setopt(e, CURLOPT_PASSWORD, o->password);
	}
}

static CURL *easy_new(struct worker *w)
{
	const struct email_options *o = w->client->options;
	CURL *e = curl_easy_init();

	if (!e)
		return NULL;
	set_server(w->client, e);
	set_callbacks(w, e);
	curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)o->timeout_ms);
	curl_easy_setopt(e, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(o->timeout_ms / 1000 + 1));
	return e;
}

/* Cleaning up says QUIT and waits for an answer without a limit of ours: with the reading end closed there is none. */
static void disconnect(struct worker *w)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (!w->easy)
		return;
	if (curl_easy_getinfo(w->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
		shutdown(fd, SHUT_RD);
	curl_easy_cleanup(w->easy);
	w->easy = NULL;
}

/* ---- one job ---- */

static CURLcode perform(struct worker *w, const struct email_job *job)
{
	char from[EMAIL_ADDRESS_MAX + 3], to[EMAIL_ADDRESS_MAX + 3];
	struct curl_slist *receivers;
	CURLcode rc;

	snprintf(from, sizeof from, "<%s>", job->from);
	snprintf(to, sizeof to, "<%s>", job->to);
	receivers = curl_slist_append(NULL, to);
	if (!receivers)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(w->easy, CURLOPT_MAIL_FROM, from);
	curl_easy_setopt(w->easy, CURLOPT_MAIL_RCPT, receivers);
	curl_easy_setopt(w->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)job->message.len);
	rc = curl_easy_perform(w->easy);
	curl_easy_setopt(w->easy, CURLOPT_MAIL_RCPT, NULL);
	curl_slist_free_all(receivers);
	return rc;
}

static CURLcode try(struct worker *w, struct email_job *job)
{
	const struct email_options *o = w->client->options;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	if (!w->easy)
		w->easy = easy_new(w);
	job->session = (struct email_session){
		.wants_auth = *o->username != '\0', .has_authenticated = w->has_authenticated};
	w->sent = 0;
	w->error[0] = '\0';
	if (w->easy)
		rc = perform(w, job);
	job->outcome = email_session_outcome(&job->session, rc, w->error, o->timeout_ms);
	w->has_authenticated = job->session.has_authenticated;
	return rc;
}

/*
 * Servers close connections that were kept, some after so many mails: that says nothing of the next one. libcurl counts a
 * connection that was never made as none, too.
 */
static bool was_kept_too_long(const struct worker *w, bool was_kept, CURLcode rc)
{
	const struct email_job *job = w->job;
	long connects = 1;

	if (!was_kept || rc == CURLE_OK || rc == CURLE_OPERATION_TIMEDOUT ||
		rc == CURLE_ABORTED_BY_CALLBACK || !w->easy)
		return false;
	curl_easy_getinfo(w->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects == 0 && job->session.step <= EMAIL_STEP_MAIL &&
	       (job->outcome.status == 0 || job->outcome.status == REPLY_CLOSING);
}

static void work(struct worker *w, struct email_job *job)
{
	bool was_kept = w->easy;
	CURLcode rc;

	job->was_tried = true;
	job->began_ms = clock_mono_ms();
	w->job = job;
	w->deadline_ms = job->began_ms + w->client->options->timeout_ms;
	rc = try(w, job);
	if (was_kept_too_long(w, was_kept, rc)) {
		disconnect(w);
		rc = try(w, job);
	}
	w->job = NULL;
	if (rc != CURLE_OK)
		disconnect(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct email_client *c = w->client;

	pthread_setname_np(pthread_self(), "email");
	while (!atomic_load(&c->is_stopping)) {
		struct email_job *job = next_job(w);

		if (!job) {
			disconnect(w);
			continue;
		}
		if (clock_mono_ms() <= job->begin_by_ms)
			work(w, job);
		mailbox_post(c->done, &job->mail);
	}
	disconnect(w);
	return NULL;
}

/* ---- life ---- */

static void on_mail(struct mail *batch, void *arg)
{
	struct email_client *c = arg;

	while (batch) {
		struct mail *next = batch->next;

		c->on_done((struct email_job *)batch, c->arg);
		batch = next;
	}
}

static int start_threads(struct email_client *c)
{
	size_t wanted = (size_t)c->options->concurrency;
	sigset_t all, before;
	int rc = 0;

	c->workers = calloc(wanted, sizeof *c->workers);
	if (!c->workers)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (c->workers_len < wanted && rc == 0) {
		struct worker *w = &c->workers[c->workers_len];

		w->client = c;
		rc = -pthread_create(&w->thread, NULL, run, w);
		c->workers_len += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int email_client_new(struct loop *loop, const struct email_options *o, email_done_cb *cb, void *arg,
	struct email_client **out)
{
	struct email_client *c = calloc(1, sizeof *c);
	int rc = -ENOMEM;

	if (!c)
		return rc;
	c->options = o;
	c->starttls = email_starttls_policy(o);
	c->on_done = cb;
	c->arg = arg;
	c->end = &c->first;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	c->has_curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (!c->has_curl) {
		rc = -EIO;
		goto out;
	}
	if ((rc = mailbox_new(&c->done)) < 0)
		goto out;
	if ((rc = loop_mail_new(loop, c->done, on_mail, c, &c->done_mail)) < 0)
		goto out;
	if ((rc = start_threads(c)) < 0)
		goto out;
	*out = c;
	c = NULL;
out:
	email_client_free(c);
	return rc;
}

void email_client_free(struct email_client *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->is_stopping, true);
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->workers_len; i++)
		pthread_join(c->workers[i].thread, NULL);
	free(c->workers);
	if (c->done_mail)
		loop_mail_free(c->done_mail);
	if (c->done)
		mailbox_free(c->done);
	if (c->has_curl)
		curl_global_cleanup();
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
