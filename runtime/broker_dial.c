/* Making the connection, and saying in plain words why there is none. */
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "runtime/broker_internal.h"

enum {
	GOODBYE_MS = 300, /* to wait for the broker's word at the end */
	CONNECT_DEFAULT_MS = 5000,
	SEND_BUFFER = 208 << 10, /* what Linux grants at most without being asked; it doubles it */
};

int link_parse_url(struct link *l, const char *url)
{
	char *copy = url ? strdup(url) : NULL;

	if (!copy)
		return url ? -ENOMEM : -EINVAL;
	l->url_copy = copy;
	amqp_default_connection_info(&l->info);
	if (amqp_parse_url(copy, &l->info) != AMQP_STATUS_OK)
		return -EINVAL;
	if (!l->info.vhost[0])
		l->info.vhost = (char *)"/";
	snprintf(l->host, sizeof l->host, "%s:%d", l->info.host, l->info.port);
	return 0;
}

int broker_check_url(const char *url)
{
	struct amqp_connection_info info;
	char *copy = strdup(url);
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	amqp_default_connection_info(&info);
	if (amqp_parse_url(copy, &info) != AMQP_STATUS_OK)
		rc = -EINVAL;
	free(copy);
	return rc;
}

static void refuse(struct link *l, const char *what, const char *mend)
{
	snprintf(l->why, sizeof l->why, "%s: %s", what, mend);
}

static void refuse_status(struct link *l, int status)
{
	static const struct {
		int status;
		const char *mend;
	} mends[] = {
		{AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED, "check the host in amqp.url, and the DNS"},
		{AMQP_STATUS_SOCKET_ERROR, "is RabbitMQ running, and is this its address?"},
		{AMQP_STATUS_TIMEOUT,
			"no answer in time: a firewall, a wrong address, or a broker that hangs?"},
		{AMQP_STATUS_CONNECTION_CLOSED, "closed during the login: is this RabbitMQ's AMQP port?"},
		{AMQP_STATUS_SOCKET_CLOSED, "closed during the login: is this RabbitMQ's AMQP port?"},
		{AMQP_STATUS_BAD_AMQP_DATA, "this is not RabbitMQ's AMQP port"},
		{AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION, "this is not RabbitMQ's AMQP port"},
		{AMQP_STATUS_SSL_CONNECTION_FAILED,
			"is this RabbitMQ's TLS port, and is its certificate signed by a known CA (SSL_CERT_FILE)?"},
		{AMQP_STATUS_SSL_PEER_VERIFY_FAILED, "make its CA known (SSL_CERT_FILE)"},
		{AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, "use the host name of its certificate in amqp.url"},
		{AMQP_STATUS_NO_MEMORY, "free some"},
	};
	const char *mend = "look into RabbitMQ's log";

	for (size_t i = 0; i < sizeof mends / sizeof mends[0]; i++) {
		if (mends[i].status == status)
			mend = mends[i].mend;
	}
	refuse(l, amqp_error_string2(status), mend);
}

static const char *mend_of(uint16_t code)
{
	switch (code) {
	case AMQP_ACCESS_REFUSED: return "check user and password in amqp.url";
	case AMQP_NOT_ALLOWED: return "check the vhost in amqp.url and the user's permissions (rabbitmqctl)";
	default: return "look into RabbitMQ's log";
	}
}

/* Of a refused login the text is RabbitMQ's own; it never holds the password. */
static void refuse_reply(struct link *l, const amqp_rpc_reply_t *reply)
{
	const amqp_connection_close_t *close = reply->reply.decoded;
	char text[REPLY_TEXT_MAX];

	if (reply->reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) {
		refuse_status(l, reply->library_error);
		return;
	}
	if (reply->reply.id != AMQP_CONNECTION_CLOSE_METHOD) {
		refuse(l, "the login failed", mend_of(0));
		return;
	}
	link_close_text(close->reply_code, close->reply_text, text, sizeof text);
	refuse(l, text, mend_of(close->reply_code));
}

static amqp_table_entry_t yes(const char *name)
{
	return (amqp_table_entry_t){
		.key = bytes_text(name), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

static amqp_table_entry_t word(const char *name, const char *text)
{
	return (amqp_table_entry_t){.key = bytes_text(name),
		.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes_text(text)}};
}

static amqp_rpc_reply_t login(struct link *l)
{
	amqp_table_entry_t able[] = {
		yes("authentication_failure_close"),
		yes("basic.nack"),
		yes("connection.blocked"),
		yes("consumer_cancel_notify"),
		yes("publisher_confirms"),
	};
	amqp_table_entry_t entries[] = {
		word("product", "Postback"),
		word("version", POSTBACK_VERSION),
		word("connection_name", l->name),
		{.key = bytes_text("capabilities"),
			.value = {.kind = AMQP_FIELD_KIND_TABLE,
				.value.table = {.num_entries = sizeof able / sizeof able[0],
					.entries = able}}},
	};
	amqp_table_t properties = {.num_entries = sizeof entries / sizeof entries[0], .entries = entries};

	return amqp_login_with_properties(l->conn, l->info.vhost, CHANNEL_MAX, AMQP_DEFAULT_FRAME_SIZE,
		l->heartbeat_s, &properties, AMQP_SASL_METHOD_PLAIN, l->info.user, l->info.password);
}

static amqp_socket_t *new_socket(struct link *l)
{
	amqp_socket_t *s;

	if (!l->info.ssl)
		return amqp_tcp_socket_new(l->conn);
	s = amqp_ssl_socket_new(l->conn);
	if (!s)
		return NULL;
	amqp_ssl_socket_set_verify_peer(s, 1);
	amqp_ssl_socket_set_verify_hostname(s, 1);
	amqp_ssl_socket_set_ssl_versions(s, AMQP_TLSv1_2, AMQP_TLSvLATEST);
	/* rabbitmq-c trusts no CA by itself, not even the system's. */
	SSL_CTX_set_default_verify_paths(amqp_ssl_socket_get_context(s));
	return s;
}

static void set_fd(struct link *l, int fd)
{
	pthread_mutex_lock(&l->fd_lock);
	l->fd = fd;
	pthread_mutex_unlock(&l->fd_lock);
}

/*
 * rabbitmq-c waits without end for room in the socket's buffer. A peer that takes nothing is as dead as one that sends
 * nothing, so the kernel ends the connection after the time in which heartbeats would have.
 */
static void bound_sending(const struct link *l, int fd)
{
	unsigned ms = (unsigned)l->heartbeat_s * 2 * 1000;

	if (ms > 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/*
 * Room for what the loop may write in a turn of its own. Over TLS nobody knows what a write leads to.
 */
static void make_room(struct link *l)
{
	int size = SEND_BUFFER;
	socklen_t len = sizeof size;

	setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	l->is_roomy = !l->info.ssl && getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 &&
		      size >= LINK_TURN_BYTES * 4;
}

int link_dial(struct link *l)
{
	int64_t ms = l->connect_timeout_ms > 0 ? l->connect_timeout_ms : CONNECT_DEFAULT_MS;
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	amqp_socket_t *s;
	amqp_rpc_reply_t reply;
	int rc;

	l->conn = amqp_new_connection();
	s = l->conn ? new_socket(l) : NULL;
	if (!s) {
		refuse_status(l, AMQP_STATUS_NO_MEMORY);
		return -1;
	}
	amqp_set_handshake_timeout(l->conn, &timeout);
	amqp_set_rpc_timeout(l->conn, &timeout);
	rc = amqp_socket_open_noblock(s, l->info.host, l->info.port, &timeout);
	if (rc != AMQP_STATUS_OK) {
		refuse_status(l, rc);
		return -1;
	}
	set_fd(l, amqp_get_sockfd(l->conn));
	bound_sending(l, l->fd);
	make_room(l);
	if (atomic_load(&l->is_stopping))
		shutdown(l->fd, SHUT_RDWR);
	reply = login(l);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
		refuse_reply(l, &reply);
		return -1;
	}
	return 0;
}

void link_hang_up(struct link *l)
{
	struct timeval timeout = {.tv_usec = GOODBYE_MS * 1000};

	if (!l->conn)
		return;
	if (!l->is_lost) {
		amqp_set_rpc_timeout(l->conn, &timeout);
		amqp_connection_close(l->conn, AMQP_REPLY_SUCCESS);
	}
	set_fd(l, -1);
	amqp_destroy_connection(l->conn);
	l->conn = NULL;
}
