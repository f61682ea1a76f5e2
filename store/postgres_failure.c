#include <errno.h>
#include <stdio.h>

#include "store/postgres.h"

/* ---- what failures mean ---- */

/* By SQLSTATE; a shorter one stands for its class. The first that fits counts. */
static const struct {
	const char *state;
	int rc;
	const char *advice;
} states[] = {
	{"40", -ERESTART, "others wrote the same rows at the same time; it is tried again by itself"},
	{"23505", -ERESTART, "others wrote the same row at the same time; it is tried again by itself"},
	{"23", -EBADMSG, "what was given contradicts what is stored"},
	{"22", -EBADMSG, "a field cannot be stored as it is"},
	{"54", -EBADMSG, "it is larger than the database can take"},
	/* The failure came before the mark: with marks around everything it shows where it belongs. */
	{"3B001", -EBADMSG, "an earlier call of the transaction failed"},
	{"55P03", -EBUSY, "another session holds a row for too long; look for it in pg_stat_activity"},
	{"57014", -EBUSY, "it took too long; is the server overloaded, or the table locked by hand?"},
	{"53100", -EIO, "make room on the server's disk; it is tried again by itself"},
	{"53300", -EIO,
		"raise max_connections on the server, or run fewer services; it is tried again by itself"},
	{"53", -EIO, "give the server more memory; it is tried again by itself"},
	{"57P", -EIO, "the server stops or starts; it is tried again by itself"},
	{"25006", -EIO, "this server is read-only (a standby?): name the primary in store.url"},
	{"25P03", -EIO, "the service was stopped in the middle of a write; it is tried again by itself"},
	{"42501", -EIO,
		"grant it to the role of store.url (docs/stores.md), best by making that role the owner of the database"},
	{"42P01", -EIO, "somebody removed a table: restore the database from its backup"},
	{"42703", -EIO, "somebody changed a table: restore the database from its backup"},
	{"28", -EIO, "check user and password in store.url and store.password_file"},
	{"3D000", -EIO, "create the database, owned by the role of store.url"},
	{"", -EIO, "it is tried again by itself"},
};

/* Where only a text is to be had: connections that did not come about. */
static const struct {
	const char *part;
	const char *advice;
} texts[] = {
	{"password authentication failed", "check user and password in store.url and store.password_file"},
	{"no password supplied", "give the password in store.url or by store.password_file"},
	{"authentication failed", "check user and authentication (pg_hba.conf of the server) for store.url"},
	{"pg_hba.conf",
		"let this host and user in by pg_hba.conf of the server, or ask for TLS with ?sslmode=require"},
	{"database \"", "create the database, owned by the role of store.url: createdb -O ROLE NAME"},
	{"role \"", "create the role: createuser --pwprompt ROLE, or correct store.url"},
	{"too many clients", "raise max_connections on the server, or run fewer services"},
	{"connection slots", "raise max_connections on the server, or run fewer services"},
	{"root certificate",
		"name the certificates of the server's authority in store.url: ?sslmode=verify-full&sslrootcert=FILE"},
	{"certificate verify failed",
		"no authority in the ?sslrootcert= of store.url has signed the server's certificate: name the right file"},
	{"does not match host name", "use a name of the server's certificate as the host in store.url"},
	{"certificate",
		"correct ?sslmode=, ?sslcert= and ?sslkey= in store.url, or the server's certificate"},
	{"private key", "correct ?sslkey= in store.url, or the file: only this user may read it"},
	{"closed unexpectedly", "the server stopped, or the line to it broke; it is tried again by itself"},
	{"SSL SYSCALL", "the server stopped, or the line to it broke; it is tried again by itself"},
	{"does not support SSL", "switch TLS on at the server (ssl = on), or correct ?sslmode= in store.url"},
	{"SSL", "correct ?sslmode= in store.url, or the server's certificate"},
	{"invalid ", "correct this parameter in store.url"},
	{"could not translate host name", "correct the host in store.url, or the name service"},
	{"starting up", "the server starts; it is tried again by itself"},
	{"shutting down", "the server stops; it is tried again by itself"},
	{"", "start the server, or correct host and port in store.url; it is tried again by itself"},
};

static size_t find_state(const char *state)
{
	size_t i = 0;

	while (strncmp(state, states[i].state, strlen(states[i].state)) != 0)
		i++;
	return i;
}

static const char *find_text(const char *message)
{
	size_t i = 0;

	while (!strstr(message, texts[i].part))
		i++;
	return texts[i].advice;
}

int postgres_code(const char *state)
{
	return states[find_state(state)].rc;
}

/* One line out of libpq's several. */
static void flatten(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool is_gap = *from == '\n' || *from == '\t' || *from == ' ';

		if (!is_gap)
			*to++ = *from;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	}
	while (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

void postgres_explain(char why[BACKEND_WHY_LEN], const char *place, const char *state, const char *message)
{
	const char *advice = *state ? states[find_state(state)].advice : find_text(message);
	char flat[BACKEND_WHY_LEN / 2];

	snprintf(flat, sizeof flat, "%s", message);
	flatten(flat);
	if (*state)
		snprintf(why, BACKEND_WHY_LEN, "%s: %s (SQLSTATE %s): %s", place, flat, state, advice);
	else
		snprintf(why, BACKEND_WHY_LEN, "%s: %s: %s", place, flat, advice);
}

int postgres_fail_connection(struct postgres *p, const char *what)
{
	const char *said = p->connection ? PQerrorMessage(p->connection) : "";

	p->is_dead = true;
	postgres_explain(p->sql.base.why, p->place, "", what ? what : said);
	return -EIO;
}

int postgres_fail(struct postgres *p, const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (!state || PQstatus(p->connection) == CONNECTION_BAD) {
		p->is_dead = true;
		if (!state)
			return postgres_fail_connection(p, NULL);
	}
	postgres_explain(p->sql.base.why, p->place, state, message ? message : "no message");
	/* What others did meanwhile would have been seen by now: it is the operation itself. */
	if (p->marks && strcmp(state, "23505") == 0)
		return -EBADMSG;
	return postgres_code(state);
}
