/*
 * A private PostgreSQL for tests, started by the first who asks and gone with this process.
 */
#ifndef TESTS_POSTGRES_SERVER_H
#define TESTS_POSTGRES_SERVER_H

#include <stdint.h>

/* Where it listens; starts it, when it has not been. */
int postgres_server_port(void);
/* Its process. */
int postgres_server_pid(void);
/* The URL of this database, as store.url wants it. */
void postgres_server_url(char *out, unsigned long len, const char *database);
/* The same with another server's address, role and password: a proxy, a role with fewer rights. */
void postgres_server_url_as(
	char *out, unsigned long len, const char *role, const char *password, int port, const char *database);
/* kill -9, or an orderly stop; start brings it back, with its data and its port. */
void postgres_server_kill(void);
void postgres_server_stop(void);
void postgres_server_start(void);

/* As the superuser, in this database; whatever fails fails the test. */
void postgres_server_run(const char *database, const char *text);
/* The first column of the first row as a number. */
int64_t postgres_server_ask(const char *database, const char *text);

#endif
