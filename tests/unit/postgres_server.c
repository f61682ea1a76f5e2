#include "tests/unit/postgres_server.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
	bool is_made;
	pid_t owner;
	char folder[128], url[256];
} server;

/* Two lines at most, without their ends. */
static void script(const char *verb, char first[128], char second[256])
{
	char command[512], unwanted[2][256];
	FILE *out;

	if (!first)
		first = unwanted[0];
	if (!second)
		second = unwanted[1];
	snprintf(command, sizeof command, "'%s/lib/postgres.sh' %s", TESTS_DIR, verb);
	out = popen(command, "r");
	assert_non_null(out);
	if (fgets(first, 128, out))
		first[strcspn(first, "\n")] = '\0';
	if (fgets(second, 256, out))
		second[strcspn(second, "\n")] = '\0';
	assert_int_equal(pclose(out), 0);
}

static void run_verb(const char *verb)
{
	char text[160];

	snprintf(text, sizeof text, "%s %s", verb, server.folder);
	script(text, NULL, NULL);
}

/* A child that was forked from us is not whose it is. */
static void remove_server(void)
{
	if (server.owner == getpid())
		run_verb("remove");
}

static void need(void)
{
	char verb[64];

	if (server.is_made)
		return;
	snprintf(verb, sizeof verb, "start --with %d", (int)getpid());
	script(verb, server.folder, server.url);
	server.is_made = true;
	server.owner = getpid();
	atexit(remove_server);
}

int postgres_server_port(void)
{
	need();
	return atoi(strrchr(server.url, ':') + 1);
}

int postgres_server_pid(void)
{
	char verb[160], pid[128] = "";

	need();
	snprintf(verb, sizeof verb, "pid %s", server.folder);
	script(verb, pid, NULL);
	return atoi(pid);
}

void postgres_server_url(char *out, unsigned long len, const char *database)
{
	need();
	snprintf(out, len, "%s%s", server.url, database);
}

void postgres_server_url_as(
	char *out, unsigned long len, const char *role, const char *password, int port, const char *database)
{
	snprintf(out, len, "postgresql://%s:%s@127.0.0.1:%d/%s", role, password, port, database);
}

void postgres_server_kill(void)
{
	run_verb("kill");
}

void postgres_server_stop(void)
{
	run_verb("stop");
}

void postgres_server_start(void)
{
	run_verb("start");
}

static PGresult *execute(const char *database, const char *text, PGconn **connection)
{
	char where[512];
	PGresult *result;

	need();
	snprintf(where, sizeof where,
		"host=%s port=%d user=postgres dbname=%s options='-c client_min_messages=warning'",
		server.folder, postgres_server_port(), database);
	*connection = PQconnectdb(where);
	result = PQexec(*connection, text);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(*connection));
	return result;
}

void postgres_server_run(const char *database, const char *text)
{
	PGconn *connection;

	PQclear(execute(database, text, &connection));
	PQfinish(connection);
}

int64_t postgres_server_ask(const char *database, const char *text)
{
	PGconn *connection;
	PGresult *result = execute(database, text, &connection);
	int64_t answer = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;

	PQclear(result);
	PQfinish(connection);
	return answer;
}
