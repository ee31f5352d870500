#include "admin.h"

#include "admin_socket.h"
#include "command.h"
#include "log.h"
#include "log_text.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	struct admin *admin;
	struct client *next, **at;
	struct bufferevent *buffer; /* NULL: gone, kept for its requests under way */
	struct event *again;        /* more lines are there than one turn takes */
	struct request *first, **last;
	uint32_t n_requests;
	size_t held; /* bytes of replies that wait for their turn */
	const char
		*dropped; /* why it is closed in a moment, and nothing more is written; or NULL */
	bool ending;      /* it sends no more; what is under way is still answered */
};

struct admin {
	struct control *control;
	struct evconnlistener *listener;
	struct client *clients;
	uint32_t n_clients;
	char path[108];
};

struct request {
	struct client *client;
	struct request *next, **at; /* among its client's */
	json_t *arguments;
	json_t *id;  /* borrowed from arguments; NULL: answered in order */
	char *reply; /* waits for its turn */
};

/* A reply that was made while there was no memory may lack anything: it is not sent. */
static __thread bool no_memory;
static char nothing[1]; /* a reply for which there was no memory at all */

static void *json_memory(size_t size)
{
	void *p = malloc(size);

	no_memory |= !p;
	return p;
}

/* ---- requests ---- */

const json_t *request_arguments(const struct request *r)
{
	return r->arguments;
}

const char *request_text(const struct request *r, const char *name)
{
	return json_string_value(json_object_get(r->arguments, name));
}

int64_t request_number(const struct request *r, const char *name, int64_t fallback)
{
	const json_t *v = json_object_get(r->arguments, name);

	return v ? json_integer_value(v) : fallback;
}

bool request_flag(const struct request *r, const char *name)
{
	return json_is_true(json_object_get(r->arguments, name));
}

static void client_free(struct client *c)
{
	if (c->again)
		event_free(c->again);
	free(c);
}

static void client_close(struct client *c)
{
	if (!c->buffer)
		return;
	bufferevent_free(c->buffer);
	c->buffer = NULL;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->admin->n_clients--;
	event_del(c->again);
	if (!c->n_requests)
		client_free(c);
}

static void request_end(struct request *r)
{
	struct client *c = r->client;

	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	else
		c->last = r->at;
	json_decref(r->arguments);
	c->held -= r->reply ? strlen(r->reply) : 0;
	if (r->reply != nothing)
		free(r->reply);
	free(r);
	c->n_requests--;
}

static void write_reply(struct client *c, const char *text)
{
	struct evbuffer *out;

	if (!c->buffer || c->dropped)
		return;
	out = bufferevent_get_output(c->buffer);
	if (evbuffer_get_length(out) > ADMIN_OUTPUT_MAX)
		c->dropped = "a client left too many replies unread";
	else if (evbuffer_add(out, text, strlen(text)) || evbuffer_add(out, "\n", 1))
		c->dropped = "no memory for a client's replies";
}

/* Writes what may be written: with an id at once, without one when all older ones without are
 * written. */
static void flush_replies(struct client *c, struct request *r)
{
	struct request *next;

	if (r->id) {
		write_reply(c, r->reply);
		request_end(r);
		return;
	}
	for (r = c->first; r && (r->id || r->reply); r = next) {
		next = r->next;
		if (r->id)
			continue;
		write_reply(c, r->reply);
		request_end(r);
	}
}

/* A turn later rather than from here: the command that is being answered is still running. */
static void go_on(struct client *c)
{
	static const struct timeval now = {0};

	if (event_add(c->again, &now))
		event_active(c->again, EV_TIMEOUT, 0); /* no memory: at once, rather than never */
}

/* As text. NULL: no memory. */
static char *text_of(const struct request *r, json_t *reply, bool ok)
{
	char *text = NULL;

	json_object_set_new(reply, "ok", json_boolean(ok));
	if (r->id)
		json_object_set(reply, "id", r->id);
	if (!no_memory)
		text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	if (no_memory) { /* jansson goes on without what did not fit */
		free(text);
		text = NULL;
	}
	return text;
}

static void answer(struct request *r, json_t *reply, bool ok)
{
	static const char done[] =
		"it is done, but its reply could not be made: no memory, or a text "
		"that is no UTF-8";
	struct client *c = r->client;

	r->reply = text_of(r, reply, ok);
	no_memory = false;
	if (!r->reply)
		r->reply = text_of(r,
			json_pack("{s:{s:s,s:s}}", "error", "code", protocol_code(-ENOMEM),
				"message", ok ? done : "out of memory"),
			false);
	if (!r->reply) {
		c->dropped = "no memory for a client's replies";
		r->reply = nothing;
	}
	no_memory = false;
	c->held += strlen(r->reply);
	flush_replies(c, r);
	if (!c->buffer && !c->n_requests)
		client_free(c);
	else if (!c->buffer)
		return;
	else if (c->ending || c->dropped || evbuffer_get_length(bufferevent_get_input(c->buffer)))
		go_on(c);
}

static bool is_its_turn(const struct request *r)
{
	const struct request *first = r->client->first;

	while (first && first->id)
		first = first->next;
	return r->id || first == r;
}

void request_progress(struct request *r, json_t *line)
{
	struct client *c = r->client;
	char *text;

	no_memory |= !line;
	if (!c->buffer || !is_its_turn(r) ||
		evbuffer_get_length(bufferevent_get_output(c->buffer)) > ADMIN_OUTPUT_PAUSE) {
		json_decref(line);
	} else {
		json_object_set_new(line, "progress", json_true());
		text = text_of(r, line, true);
		if (text)
			write_reply(c, text);
		free(text);
	}
	no_memory = false;
}

void request_ok(struct request *r, json_t *result)
{
	no_memory |= !result;
	answer(r, result, true);
}

void request_fail(struct request *r, int error, const char *format, ...)
{
	char message[4096];
	json_t *text;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	log_text_repair(message); /* a name that is not UTF-8 may be quoted, or one that was cut */
	text = json_string(message);
	answer(r,
		json_pack("{s:{s:s,s:o}}", "error", "code", protocol_code(error), "message", text),
		false);
}

/* ---- lines ---- */

static struct request *request_create(struct client *c, json_t *arguments)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r || !arguments) {
		c->dropped = "no memory for a client's request";
		go_on(c);
		json_decref(arguments);
		free(r);
		return NULL;
	}
	r->client = c;
	r->arguments = arguments;
	r->id = json_object_get(arguments, "id");
	r->at = c->last;
	*c->last = r;
	c->last = &r->next;
	c->n_requests++;
	return r;
}

static void run_line(struct client *c, const char *line, size_t len)
{
	char err[512];
	json_t *arguments = protocol_parse(line, len, err, sizeof(err));
	struct request *r = request_create(c, arguments ? arguments : json_object());
	const struct command *command;
	const char *name;

	if (!r)
		return;
	if (!arguments) {
		request_fail(r, -EINVAL, "%s", err);
		return;
	}
	if (r->id && !json_is_string(r->id) && !json_is_integer(r->id)) {
		r->id = NULL;
		request_fail(r, -EINVAL, "'id' must be a string or a number");
		return;
	}
	name = request_text(r, "cmd");
	command = name ? command_find(name) : NULL;
	if (!command)
		request_fail(r, name ? -ENOSYS : -EINVAL, "%s%.64s%s; \"commands\" lists them",
			name ? "no command is named '" : "'cmd' is missing", name ? name : "",
			name ? "'" : "");
	else if (protocol_check(command, arguments, err, sizeof(err)))
		request_fail(r, -EINVAL, "%s", err);
	else
		command->run(c->admin->control, r);
}

static bool may_read(const struct client *c)
{
	return c->buffer && !c->dropped && c->n_requests < ADMIN_PIPELINE_MAX &&
	       c->held + evbuffer_get_length(bufferevent_get_output(c->buffer)) <
		       ADMIN_OUTPUT_PAUSE;
}

/* What has no end of line yet is kept; what cannot become a line is answered and the client closed.
 */
static void refuse_endless(struct client *c)
{
	static const char text[] = "{\"ok\":false,\"error\":{\"code\":\"RESOURCE_EXHAUSTED\","
				   "\"message\":\"a line of more than 1 MiB\"}}";

	evbuffer_drain(bufferevent_get_input(c->buffer), SIZE_MAX);
	bufferevent_disable(c->buffer, EV_READ);
	write_reply(c, text);
	c->ending = true;
}

/* What comes last needs no end of line. NULL: there is no whole line, or no memory for it. */
static char *next_line(struct client *c, size_t *ret_len)
{
	struct evbuffer *in = bufferevent_get_input(c->buffer);
	char *line = evbuffer_readln(in, ret_len, EVBUFFER_EOL_LF);
	bool last = !line && c->ending && evbuffer_get_length(in);

	if (last) {
		*ret_len = evbuffer_get_length(in);
		line = malloc(*ret_len + 1);
	}
	if (last && line) {
		evbuffer_remove(in, line, *ret_len);
		line[*ret_len] = 0;
	} else if (!line &&
		   (last || evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF).pos >= 0)) {
		c->dropped = "no memory for a client's request";
		go_on(c);
	}
	return line;
}

static void read_lines(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->buffer);
	int left = ADMIN_LINES_PER_TURN;
	size_t len;
	char *line;

	while (left-- > 0 && may_read(c) && (line = next_line(c, &len))) {
		if (len > 0)
			run_line(c, line, len);
		free(line);
	}
	if (may_read(c) && left < 0)
		go_on(c);
	else if (may_read(c) && evbuffer_get_length(in) >= PROTOCOL_LINE_MAX)
		refuse_endless(c);
	if (c->buffer && !c->ending && may_read(c))
		bufferevent_enable(c->buffer, EV_READ);
	else if (c->buffer)
		bufferevent_disable(c->buffer, EV_READ);
	if (c->buffer && c->ending && !c->n_requests && !evbuffer_get_length(in) &&
		!evbuffer_get_length(bufferevent_get_output(c->buffer)))
		client_close(c);
}

static void on_readable(struct bufferevent *b, void *arg)
{
	(void)b;
	read_lines(arg);
}

static void on_written(struct bufferevent *b, void *arg)
{
	(void)b;
	read_lines(arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	if (c->buffer && c->dropped) {
		log_warn("admin: %s: closed", c->dropped);
		client_close(c);
	} else if (c->buffer) {
		read_lines(c);
	}
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
	struct client *c = arg;

	(void)b;
	if (what & BEV_EVENT_TIMEOUT)
		log_warn("admin: a client did not read its replies for %d s: closed",
			ADMIN_STALLED_S);
	if ((what & BEV_EVENT_EOF) && !(what & BEV_EVENT_ERROR)) {
		c->ending =
			true; /* `printf ... | nc -U` sends its end before it has read the reply */
		go_on(c);
		return;
	}
	client_close(c);
}

/* ---- who comes in ---- */

static void refuse(int fd, const char *code, const char *why)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
		"{\"ok\":false,\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, why);

	/* A fresh socket takes a line; if not, the client sees the end of file. */
	if (send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("admin: a refusal could not be sent");
	close(fd);
}

static void client_create(struct admin *a, int fd)
{
	static const struct timeval stalled = {ADMIN_STALLED_S, 0};
	struct client *c = calloc(1, sizeof(*c));

	if (c)
		c->again = event_new(a->control->base, -1, 0, on_again, c);
	if (c && c->again)
		c->buffer = bufferevent_socket_new(a->control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->buffer) {
		refuse(fd, protocol_code(-ENOMEM), "out of memory");
		if (c)
			client_free(c);
		return;
	}
	c->admin = a;
	c->last = &c->first;
	c->next = a->clients;
	c->at = &a->clients;
	if (c->next)
		c->next->at = &c->next;
	a->clients = c;
	a->n_clients++;
	bufferevent_setcb(c->buffer, on_readable, on_written, on_event, c);
	bufferevent_setwatermark(c->buffer, EV_READ, 0, PROTOCOL_LINE_MAX + 1);
	bufferevent_set_timeouts(c->buffer, NULL, &stalled);
	if (bufferevent_enable(c->buffer, EV_READ | EV_WRITE))
		client_close(c);
}

static void on_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer,
	int peer_len, void *arg)
{
	struct admin *a = arg;

	(void)l;
	(void)peer;
	(void)peer_len;
	if (!admin_socket_admits(fd))
		refuse(fd, "PERMISSION_DENIED",
			"only root, the node's user and the node's group may use its admin socket");
	else if (a->n_clients >= ADMIN_CLIENTS_MAX)
		refuse(fd, "RESOURCE_EXHAUSTED", "too many admin clients: 32 are connected");
	else
		client_create(a, fd);
}

int admin_open(struct control *c, const char *path, char *err, size_t err_len)
{
	int fd = admin_socket_bind(path, "node.admin", err, err_len);
	struct admin *a;

	if (fd < 0)
		return fd;
	json_set_alloc_funcs(json_memory, free);
	a = calloc(1, sizeof(*a));
	if (a)
		a->listener = evconnlistener_new(c->base, on_client, a,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 64, fd);
	if (!a || !a->listener) {
		free(a);
		close(fd);
		unlink(path);
		snprintf(err, err_len, "node.admin: %s: out of memory", path);
		return -ENOMEM;
	}
	a->control = c;
	snprintf(a->path, sizeof(a->path), "%s", path);
	c->admin = a;
	return 0;
}

void admin_close(struct admin *a)
{
	struct client *c, *next;

	if (!a)
		return;
	unlink(a->path);
	evconnlistener_free(a->listener);
	for (c = a->clients; c; c = next) {
		next = c->next;
		/* What was answered last, such as a drain, should still arrive. */
		evbuffer_write(bufferevent_get_output(c->buffer), bufferevent_getfd(c->buffer));
		client_close(c);
	}
	free(a);
}
