/* test_memory.c - every allocation of the control side fails once: each command of the admin socket
 * is given with the first allocation failing, then the second, and so on until none fails. It ends
 * with a whole reply, with an error, or with its connection closed; the node goes on, and the same
 * command then works. The node is fake_node.c; what libevent and jansson take fails too. */
#undef main
#include "../../control/control.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REPLY_MAX = 1 << 20, WAIT_MS = 20000, MOST = 5000, MANY = 300 };

int telad_main(int argc, char **argv);

static char folder[64], admin[80], probes[80], config[80];

/* ---- an allocator that fails once ---- */

static _Atomic int fail_in = -1; /* allocations until one fails; -1: none does */
static __thread bool spared;

static bool fails(void)
{
	int left = spared ? -1 : atomic_load(&fail_in);

	while (left >= 0 && !atomic_compare_exchange_weak(&fail_in, &left, left - 1))
		;
	if (!left)
		errno = ENOMEM;
	return !left;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* Of libevent whole calls fail, not each allocation in them: some it does not look at itself. */
#define LIBEVENT(type, name, failure, parameters, arguments)                                       \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails() ? (failure) : __real_##name arguments;                              \
	}

LIBEVENT(struct event *, event_new, NULL,
	(struct event_base * base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg),
	(base, fd, what, fn, arg))
LIBEVENT(int, event_add, -1, (struct event * e, const struct timeval *after), (e, after))
LIBEVENT(struct bufferevent *, bufferevent_socket_new, NULL,
	(struct event_base * base, evutil_socket_t fd, int options), (base, fd, options))
LIBEVENT(int, bufferevent_enable, -1, (struct bufferevent * b, short what), (b, what))
LIBEVENT(struct evbuffer *, evbuffer_new, NULL, (void), ())
LIBEVENT(int, evbuffer_add, -1, (struct evbuffer * b, const void *data, size_t len), (b, data, len))
LIBEVENT(char *, evbuffer_readln, NULL,
	(struct evbuffer * b, size_t *ret_len, enum evbuffer_eol_style style), (b, ret_len, style))

/* ---- a client ---- */

static int reach(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static const char *given = "";
static int given_n;

static void hangs(void)
{
	fprintf(stderr, "allocation %d of %s: no answer\n", given_n, given);
	abort();
}

/* One line, or all that comes; its length, 0: the connection was closed. */
static size_t receive(int fd, char *to, bool line)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (poll(&p, 1, WAIT_MS) != 1)
			hangs();
		got = read(fd, to + n, REPLY_MAX - n - 1);
		if (got <= 0)
			break;
		n += (size_t)got;
		if (line && to[n - 1] == '\n')
			break;
	}
	to[n] = 0;
	return line && (!n || to[n - 1] != '\n') ? 0 : n;
}

/* Whether the reply says ok; false too: an error, or the connection was closed. */
static bool give(const char *command, char *reply)
{
	int fd = reach(admin);
	ssize_t sent = send(fd, command, strlen(command), MSG_NOSIGNAL);

	if (sent != (ssize_t)strlen(command) || !receive(fd, reply, true))
		*reply = 0;
	close(fd);
	return strstr(reply, "\"ok\":true");
}

static void must(const char *command, char *reply)
{
	if (give(command, reply))
		return;
	fprintf(stderr, "%s%.400s", command, reply);
	abort();
}

/* ---- one after another ---- */

struct step {
	const char *command, *undo; /* undo: for what was done after all; NULL: nothing to undo */
	bool steady;                /* its reply is always the same */
};

#define SVC "\"service\":\"svc\""

static const struct step steps[] = {
	{"{\"cmd\":\"commands\"}\n", NULL, true},
	{"{\"cmd\":\"plugins\"}\n", NULL, true},
	{"{\"cmd\":\"plugins\",\"plugin\":\"plain\"}\n", NULL, true},
	{"{\"cmd\":\"registry\"}\n", NULL, true},
	{"{\"cmd\":\"latency\"}\n", NULL, true},
	{"{\"cmd\":\"failures\"}\n", NULL, true},
	{"{\"cmd\":\"status\"}\n", NULL, false},
	{"{\"cmd\":\"cores\"}\n", NULL, false},
	{"{\"cmd\":\"services\"}\n", NULL, false},
	{"{\"cmd\":\"discovery\"}\n", NULL, false},
	{"{\"cmd\":\"trace\"}\n", NULL, true},
	{"{\"cmd\":\"schema\"}\n", NULL, true},
	{"{\"cmd\":\"stats\"}\n", NULL, true},
	{"{\"cmd\":\"limits\",\"window\":64}\n", NULL, true},
	{"{\"cmd\":\"log.level\"}\n", NULL, true},
	{"{\"cmd\":\"images\"," SVC "}\n", NULL, false},
	{"{\"cmd\":\"config.show\"," SVC "}\n", NULL, false},
	{"{\"cmd\":\"chain.show\"," SVC "}\n", NULL, false},
	{"{\"cmd\":\"call\"," SVC
	 ",\"method\":\"Ping\",\"payload\":\"0102\",\"metadata\":{\"a\":\"b\"}}\n",
		NULL, false},
	{"{\"cmd\":\"call\"," SVC ",\"method\":\"Ping\",\"all\":true,\"node\":\".,bench\"}\n", NULL,
		false},
	{"{\"cmd\":\"config.merge\"," SVC
	 ",\"config\":{\"svc.limit\":8,\"plain1.limits.rate\":15,\"plain1.names\":[\"a\",\"b\"],"
	 "\"plain1.allow.x\":\"y\"}}\n",
		"{\"cmd\":\"config.merge\"," SVC
		",\"config\":{\"svc.limit\":null,\"plain1.limits\":null,\"plain1.names\":null,"
		"\"plain1.allow\":null}}\n",
		false},
	{"{\"cmd\":\"chain.add\"," SVC ",\"plugin\":\"counts\"}\n",
		"{\"cmd\":\"chain.remove\"," SVC ",\"name\":\"counts\"}\n", false},
	{"{\"cmd\":\"chain.replace\"," SVC
	 ",\"name\":\"plain1\",\"wait\":true,\"config\":{\"limit\":7}}\n",
		NULL, false},
	{"{\"cmd\":\"chain.apply\"," SVC ",\"steps\":[{\"op\":\"add\",\"plugin\":\"crew\"},{\"op\":"
	 "\"add\",\"plugin\":\"plain\"}]}\n",
		"{\"cmd\":\"chain.apply\"," SVC ",\"steps\":[{\"op\":\"remove\",\"name\":\"crew\"},"
		"{\"op\":\"remove\",\"name\":\"plain\"}]}\n",
		false},
	{"{\"cmd\":\"service.add\",\"definition\":{\"text\":\"name: rec\\nplugins: [{plugin: "
	 "recb, config: {x: 1, y: {z: 2}}}, {plugin: reca}]\"}}\n",
		"{\"cmd\":\"service.remove\",\"service\":\"rec\"}\n", false},
	{"{\"cmd\":\"service.pause\"," SVC ",\"reason\":\"upgrade\"}\n",
		"{\"cmd\":\"service.activate\"," SVC "}\n", false},
	{"{\"cmd\":\"service.deactivate\"," SVC "}\n", "{\"cmd\":\"service.activate\"," SVC "}\n",
		false},
	{"{\"cmd\":\"service.drain\"," SVC "}\n", "{\"cmd\":\"service.activate\"," SVC "}\n",
		false},
};

static bool refused(const char *reply, const char *code)
{
	return strstr(reply, "\"ok\":false") && strstr(reply, code);
}

/* Returns about how many allocations it made. */
static int sweep(const struct step *s)
{
	static char reference[REPLY_MAX], reply[REPLY_MAX], after[REPLY_MAX];
	int n = 0;
	bool failed;

	must(s->command, reference);
	if (s->undo)
		must(s->undo, after);
	do {
		bool ok;

		given = s->command;
		given_n = n;
		atomic_store(&fail_in, n);
		n += n < MANY ? 1 : 11; /* of a long list one row is as good as another */
		ok = give(s->command, reply);
		failed = atomic_exchange(&fail_in, -1) < 0;
		if (ok && s->steady && strcmp(reply, reference)) {
			size_t at = 0;

			while (reply[at] == reference[at])
				at++;
			at -= at < 60 ? at : 60;
			fprintf(stderr, "%sthen: %.200s\nfirst: %.200s\n", s->command, reply + at,
				reference + at);
			abort();
		}
		if (!ok && *reply && !refused(reply, "RESOURCE_EXHAUSTED")) {
			fprintf(stderr, "%sallocation %d: %.400s", s->command, n, reply);
			abort();
		}
		/* What was told to have failed may have been done, but for its reply. */
		if (s->undo && give(s->undo, after))
			continue;
		if (s->undo)
			CHECK(refused(after, "NOT_FOUND"));
	} while (failed && n < MOST);
	CHECK(!failed);
	must(s->command, reply);
	if (s->undo)
		must(s->undo, after);
	return n;
}

/* Whether there was an answer, to `reply`; false: the connection was closed. */
static bool get_once(const char *path, char *reply)
{
	char request[128];
	int fd = reach(probes);
	bool answered;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", path);
	answered =
		send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 && receive(fd, reply, false);
	close(fd);
	return answered;
}

static void get(const char *path)
{
	static char reply[REPLY_MAX];
	int n = 0;
	bool failed;

	given = path;
	do {
		given_n = n;
		atomic_store(&fail_in, n++);
		if (get_once(path, reply))
			CHECK(!strncmp(reply, "HTTP/1.1 ", 9));
		failed = atomic_exchange(&fail_in, -1) < 0;
	} while (failed && n < MOST);
	CHECK(!failed);
	while (!get_once(path, reply) || strncmp(reply, "HTTP/1.1 200 OK\r\n", 17))
		usleep(1000); /* it is asked for its readiness now and then */
}

static void *client(void *unused)
{
	static char reply[REPLY_MAX];

	(void)unused;
	spared = true;
	while (access(probes, F_OK))
		usleep(1000);
	do
		give("{\"cmd\":\"chain.show\"," SVC "}\n", reply);
	while (!strstr(reply, "\"running\""));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int n = sweep(&steps[i]);

		printf("up to %d allocations: %s", n, steps[i].command);
	}
	get("/livez");
	get("/readyz?verbose");
	must("{\"cmd\":\"drain\"}\n", reply);
	return NULL;
}

int main(void)
{
	static char program[] = "telad", option[] = "--config";
	char *argv[] = {program, option, config, NULL};
	pthread_t thread;
	int status;
	FILE *f;

	strcpy(folder, "/tmp/tela-memory-XXXXXX");
	CHECK(mkdtemp(folder));
	snprintf(admin, sizeof(admin), "%s/admin", folder);
	snprintf(probes, sizeof(probes), "%s/probes", folder);
	snprintf(config, sizeof(config), "%s/config", folder);
	f = fopen(config, "w");
	CHECK(f);
	fprintf(f,
		"node: {name: n, admin: %s, probes: %s}\n"
		"cores: [{cpu: 0}]\n"
		"peers: [{name: bench, address: 10.77.0.2}]\n"
		"services:\n"
		"  - name: svc\n"
		"    plugins: [{plugin: plain, as: plain1}, {plugin: wrapper}]\n",
		admin, probes);
	fclose(f);
	signal(SIGPIPE, SIG_IGN);
	CHECK(!pthread_create(&thread, NULL, client, NULL));
	status = telad_main(3, argv);
	pthread_join(thread, NULL);
	unlink(config);
	CHECK(!rmdir(folder));
	return status;
}
