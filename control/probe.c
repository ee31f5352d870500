#include "probe.h"

#include "admin_socket.h"
#include "stack.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 32,
	REQUEST_BYTES_MAX = 4096,
	LIFE_S = 10, /* of a connection, whatever comes on it */
};

struct connection;

struct probe {
	struct control *control;
	struct evconnlistener *listener;
	struct connection *connection[CONNECTIONS_MAX];
	uint32_t n_connections;
	char path[108]; /* of a Unix socket, "": none */
};

/* ---- what is asked ---- */

/* Whether it is well, and in `why` what is the matter if not. */
typedef bool (*check_fn)(const struct stack *s, char *why, size_t size);

static bool is_live(const struct stack *s, char *why, size_t size)
{
	if (s->status == TELA_SERVICE_FAILED)
		snprintf(why, size, "failed: %s", s->last_error);
	else if (s->status == TELA_SERVICE_UNKNOWN)
		snprintf(why, size, "unknown");
	else
		return true;
	return false;
}

static bool is_ready(const struct stack *s, char *why, size_t size)
{
	if (s->ready)
		return true;
	snprintf(why, size, "%s",
		s->status != TELA_SERVICE_RUNNING ? running_name(s->status)
		: s->not_ready[0]                 ? s->not_ready
						  : "not asked yet");
	return false;
}

struct answer {
	struct evbuffer *text;
	bool verbose, well;
};

static void say_check(struct answer *a, const char *what, bool well, const char *why)
{
	a->well &= well;
	if (a->verbose || !well)
		evbuffer_add_printf(a->text, "[%c] %s%s%s\n", well ? '+' : '-', what,
			well ? " ok" : ": ", well ? "" : why);
}

static void check_service(struct answer *a, const struct stack *s, check_fn check)
{
	char why[600] = "";
	bool well = check(s, why, sizeof(why));

	say_check(a, s->name, well, why);
}

static void check_node(struct answer *a, struct control *c, check_fn check)
{
	bool ready = check == is_ready;

	for (uint32_t i = 0; i < tela_node_n_cores(c->node); i++) {
		struct tela_core_info info;
		char what[16], why[200];

		if (tela_node_core_info(c->node, i, &info))
			continue;
		snprintf(what, sizeof(what), "core %u", i);
		snprintf(why, sizeof(why), "does not poll: %s holds it", info.running);
		say_check(a, what, !info.stalled, why);
	}
	if (ready)
		say_check(a, "node", !c->draining, "draining");
	for (const struct stack *s = c->stacks; s; s = s->next)
		if (!ready || s->admin == ADMIN_ACTIVE)
			check_service(a, s, check);
}

static bool is_word(const char *word, size_t n, const char *name)
{
	return strlen(name) == n && !memcmp(word, name, n);
}

static bool is_verbose(const char *query)
{
	for (; query && *query; query += *query == '&') {
		size_t n = strcspn(query, "&");

		if (is_word(query, strcspn(query, "=&"), "verbose"))
			return true;
		query += n;
	}
	return false;
}

/* The answer to a path, NULL: there is nothing of that name. */
static struct evbuffer *answer(struct control *c, const char *path, bool verbose, bool *ret_well)
{
	size_t n = strcspn(path + 1, "/");
	struct answer a = {.verbose = verbose, .well = true};
	struct stack *s = NULL;
	check_fn check = is_word(path + 1, n, "livez")    ? is_live
			 : is_word(path + 1, n, "readyz") ? is_ready
							  : NULL;

	if (path[1 + n] && !(s = stack_find(c, path + n + 2)))
		return NULL;
	a.text = check ? evbuffer_new() : NULL;
	if (!a.text)
		return NULL;
	if (s)
		check_service(&a, s, check);
	else
		check_node(&a, c, check);
	if (a.well)
		evbuffer_add_printf(a.text, "ok\n");
	*ret_well = a.well;
	return a.text;
}

/* ---- HTTP: one request on a connection ---- */

struct connection {
	struct probe *probe;
	struct bufferevent *socket;
	struct event *end; /* its life is over */
	char *line;        /* the first one */
	size_t bytes;
	bool answered;
};

static void connection_free(struct connection *c)
{
	struct probe *p = c->probe;

	if (p->n_connections-- == CONNECTIONS_MAX)
		evconnlistener_enable(p->listener);
	for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
		if (p->connection[i] == c)
			p->connection[i] = NULL;
	bufferevent_free(c->socket);
	event_free(c->end);
	free(c->line);
	free(c);
}

/* Then the connection ends. `text` NULL: the status says it. */
static void reply(struct connection *c, const char *status, struct evbuffer *text, bool with_text)
{
	struct evbuffer *out = bufferevent_get_output(c->socket);
	size_t n = text ? evbuffer_get_length(text) : strlen(status) + 1;

	c->answered = true;
	bufferevent_disable(c->socket, EV_READ);
	evbuffer_add_printf(out,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nConnection: close\r\n\r\n",
		status, n);
	if (!with_text)
		return;
	if (text)
		evbuffer_add_buffer(out, text);
	else
		evbuffer_add_printf(out, "%s\n", status);
}

/* The next word of a request line, cut off; NULL: there is none. */
static char *next_word(char **at)
{
	char *word = *at, *end = word ? strchr(word, ' ') : NULL;

	*at = end ? end + 1 : NULL;
	if (end)
		*end = 0;
	return word && *word ? word : NULL;
}

static void on_request(struct connection *c)
{
	char *at = c->line, *method = next_word(&at), *target = next_word(&at);
	const char *version = next_word(&at);
	struct evhttp_uri *uri = target && *target == '/' ? evhttp_uri_parse(target) : NULL;
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	bool head, well = false;
	struct evbuffer *text;

	if (!version || at || strncmp(version, "HTTP/1.", 7) || !path || *path != '/') {
		reply(c, "400 Bad Request", NULL, true);
	} else if (!(head = !strcmp(method, "HEAD")) && strcmp(method, "GET")) {
		reply(c, "405 Method Not Allowed", NULL, true);
	} else if (!(text = answer(c->probe->control, path, is_verbose(evhttp_uri_get_query(uri)),
			     &well))) {
		reply(c, "404 Not Found", NULL, !head);
	} else {
		reply(c, well ? "200 OK" : "503 Service Unavailable", text, !head);
		evbuffer_free(text);
	}
	if (uri)
		evhttp_uri_free(uri);
}

/* The first line is kept, the others are read up to the empty one. */
static void on_read(struct bufferevent *socket, void *arg)
{
	struct connection *c = arg;
	struct evbuffer *in = bufferevent_get_input(socket);
	char *line;
	size_t n;

	while (!c->answered && (line = evbuffer_readln(in, &n, EVBUFFER_EOL_CRLF))) {
		bool first = !c->line, last = !n;

		c->bytes += n + 2;
		if (first)
			c->line = line;
		else
			free(line);
		if (first && strlen(line) != n)
			reply(c, "400 Bad Request", NULL, true);
		else if (c->bytes > REQUEST_BYTES_MAX)
			break;
		else if (last)
			on_request(c);
	}
	if (!c->answered && c->bytes + evbuffer_get_length(in) > REQUEST_BYTES_MAX)
		reply(c, "431 Request Header Fields Too Large", NULL, true);
	else if (!c->answered && evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_CRLF).pos >= 0)
		connection_free(c); /* there was no memory for a line */
}

/* All has been written. */
static void on_written(struct bufferevent *socket, void *arg)
{
	struct connection *c = arg;

	(void)socket;
	if (c->answered)
		connection_free(c);
}

static void on_event(struct bufferevent *socket, short what, void *arg)
{
	struct connection *c = arg;

	(void)socket;
	/* One that has said all, and waits for the answer. */
	if (!(what & BEV_EVENT_EOF) || !c->answered)
		connection_free(c);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	connection_free(arg);
}

static void on_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
	static const struct timeval life = {LIFE_S, 0};
	struct probe *p = arg;
	struct connection *c = calloc(1, sizeof(*c));
	uint32_t i = 0;

	(void)from;
	(void)len;
	if (c)
		c->end = event_new(p->control->base, -1, 0, on_end, c);
	if (c && c->end)
		c->socket = bufferevent_socket_new(p->control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->socket) { /* no memory: who asks may come again */
		if (c && c->end)
			event_free(c->end);
		free(c);
		evutil_closesocket(fd);
		return;
	}
	c->probe = p;
	while (p->connection[i])
		i++;
	p->connection[i] = c;
	if (++p->n_connections == CONNECTIONS_MAX)
		evconnlistener_disable(l);
	bufferevent_setcb(c->socket, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->socket, EV_READ, 0, REQUEST_BYTES_MAX + 1);
	if (event_add(c->end, &life) || bufferevent_enable(c->socket, EV_READ | EV_WRITE))
		connection_free(c);
}

/* ---- open and close ---- */

static struct evconnlistener *listen_at(
	struct probe *p, const char *address, char *err, size_t err_len)
{
	const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
	struct event_base *base = p->control->base;
	struct evconnlistener *l;
	struct sockaddr_storage to;
	int len = sizeof(to), fd;

	if (*address == '/') {
		fd = admin_socket_bind(address, "node.probes", err, err_len);
		if (fd < 0)
			return NULL;
		snprintf(p->path, sizeof(p->path), "%s", address);
		l = evconnlistener_new(base, on_accept, p, flags, CONNECTIONS_MAX, fd);
	} else if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&to, &len)) {
		snprintf(err, err_len,
			"node.probes: expected an address such as 127.0.0.1:8080 or the path of a "
			"socket, found '%s'",
			address);
		return NULL;
	} else {
		l = evconnlistener_new_bind(
			base, on_accept, p, flags, CONNECTIONS_MAX, (struct sockaddr *)&to, len);
	}
	if (!l)
		snprintf(err, err_len, "node.probes: %s: %s", address, strerror(errno));
	return l;
}

struct probe *probe_open(struct control *c, const char *address, char *err, size_t err_len)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p) {
		snprintf(err, err_len, "node.probes: out of memory");
		return NULL;
	}
	p->control = c;
	p->listener = listen_at(p, address, err, err_len);
	if (p->listener)
		return p;
	probe_close(p);
	return NULL;
}

void probe_close(struct probe *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
		if (p->connection[i])
			connection_free(p->connection[i]);
	if (p->listener)
		evconnlistener_free(p->listener);
	if (p->path[0])
		unlink(p->path);
	free(p);
}
