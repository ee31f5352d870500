/* telactl_typed.c - `describe` and `call` by schema: the node, or a peer of it, says which schemas
 * there are; typed.h makes JSON of them. */
#include "telactl.h"

#include "protocol.h"
#include "typed.h"

#include "../dataplane/base.h"

enum { BODY_BYTES_MAX = 1 << 20, SENTENCE_MAX = 1024 };

const char typed_describe_help[] =
	"telactl describe [SERVICE[.METHOD]] [--peer NAME] [--fbs]\n"
	"  what is served and how it is called, as the node's reflection says\n"
	"    SERVICE      as the list has it; echo is enough of echo.Echo if there is no other\n"
	"    .METHOD      what it takes and answers, and a JSON object to copy\n"
	"    --peer NAME  of a peer of the node\n"
	"    --fbs        the whole schema of SERVICE, for flatc\n"
	"  for example: telactl describe echo.echo\n";

const char typed_call_help[] =
	"telactl call SERVICE.METHOD [JSON] [--peer NAME] [--deadline TIME] [--one-way] [--trace]\n"
	"             [--meta NAME=TEXT]\n"
	"  one call, its payload and reply as JSON by the service's schema\n"
	"    JSON             @FILE or - for standard input; {} unless given\n"
	"    --peer NAME      call a peer of the node\n"
	"    --deadline TIME  250ms or 2s; the method's own unless given\n"
	"    --one-way        no reply is wanted, only whether the call was accepted\n"
	"    --trace          begin a sampled trace; its id is shown, see telactl trace\n"
	"    --meta NAME=TEXT metadata of the call, such as authorization=TOKEN; again for more\n"
	"    --raw            bytes instead: telactl call --raw --help\n"
	"  A string stands for the bytes of a [ubyte], null for a field that is left out. Bytes "
	"that\n"
	"  are text are shown as a string; as numbers with -o json.\n"
	"  for example: telactl call calculator.add '{\"a\": 1, \"b\": 2}'\n";

struct typed_options {
	const char *name, *body, *peer;
	int64_t deadline_ms; /* 0: the method's own */
	json_t *metadata;    /* NULL: none */
	bool fbs, one_way, trace;
};

/* What a name on the command line leads to. */
struct target {
	const json_t *entry; /* of the node's list */
	const char *service; /* in full */
	const char *method;  /* as it was given, NULL: none was */
	json_t *methods;
	struct typed_schema *schema;
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* ---- words ---- */

static int usage_error(const char *command, const char *what, const char *word)
{
	fprintf(stderr, "telactl: %s%s; telactl %s --help shows how\n", what, word, command);
	return EXIT_USAGE;
}

/* Milliseconds of "250ms" or "2s", 0: not understood. */
static int64_t read_time(const char *s)
{
	char *unit;
	long long v = strtoll(s, &unit, 10);

	if (*s < '0' || *s > '9' || v <= 0 || v > 86400000)
		return 0;
	if (!strcmp(unit, "ms"))
		return v;
	return !strcmp(unit, "s") ? v * 1000 : 0;
}

static int read_words(const char *command, char **words, int n, struct typed_options *o)
{
	bool is_call = !strcmp(command, "call");

	for (int i = 0; i < n; i++) {
		char *w = words[i], *next = i + 1 < n ? words[i + 1] : NULL;

		if (!strcmp(w, "--peer") && next) {
			o->peer = words[++i];
		} else if (is_call && !strcmp(w, "--deadline") && next) {
			o->deadline_ms = read_time(words[++i]);
			if (!o->deadline_ms)
				return usage_error(command,
					"expected a time such as 250ms or 2s, found ", next);
		} else if (is_call && !strcmp(w, "--one-way")) {
			o->one_way = true;
		} else if (is_call && !strcmp(w, "--trace")) {
			o->trace = true;
		} else if (is_call && !strcmp(w, "--meta") && next && strchr(next, '=')) {
			char *equals = strchr(words[++i], '=');

			if (!o->metadata)
				o->metadata = json_object();
			*equals = 0;
			json_object_set_new(o->metadata, next, json_string(equals + 1));
			*equals = '=';
		} else if (!is_call && !strcmp(w, "--fbs")) {
			o->fbs = true;
		} else if (!strncmp(w, "--", 2)) {
			return usage_error(command, "not understood, or without a value: ", w);
		} else if (!o->name) {
			o->name = w;
		} else if (is_call && !o->body) {
			o->body = w;
		} else {
			return usage_error(command, "not understood: ", w);
		}
	}
	return 0;
}

/* ---- schemas ---- */

/* A reply that is ok, or NULL with *ret_status, after having said why. */
static json_t *ask(json_t *request, const char *peer, bool json, int *ret_status)
{
	json_t *reply;

	if (peer)
		json_object_set_new(request, "node", json_string(peer));
	reply = node_ask(request, !json);
	if (reply && json_is_true(json_object_get(reply, "ok")))
		return reply;
	*ret_status = reply ? EXIT_FAILURE : EXIT_UNREACHED;
	if (reply)
		print_error(reply, json);
	json_decref(reply);
	return NULL;
}

static bool begins(const char *s, const char *with, size_t len)
{
	return strlen(s) >= len && !memcmp(s, with, len);
}

/* By its whole name, or by the first parts of it if no other has them. */
static const json_t *find_service(const json_t *list, const char *name, size_t len)
{
	const json_t *entry, *found = NULL;
	bool several = false;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		const char *full = text_of(entry, "schema_name"), *own = text_of(entry, "service");

		if ((strlen(full) == len && begins(full, name, len)) ||
			(strlen(own) == len && begins(own, name, len)))
			return entry;
		if (begins(full, name, len) && full[len] == '.') {
			several = found != NULL;
			found = entry;
		}
	}
	return several ? NULL : found;
}

static int no_service(const json_t *list, const char *name, size_t len)
{
	const json_t *entry;
	size_t i;

	fprintf(stderr, "telactl: NOT_FOUND: no service is named '%.*s'; there are ", (int)len,
		name);
	json_array_foreach(list, i, entry)
	{
		fprintf(stderr, "%s%s", i ? ", " : "", text_of(entry, "schema_name"));
	}
	fprintf(stderr, "%s\n", json_array_size(list) ? "" : "none");
	return EXIT_FAILURE;
}

/* The service of "echo.Echo" or of "echo.Echo.later", and the method of the latter. */
static int resolve(const json_t *list, const char *name, bool method, struct target *t)
{
	const char *dot = strrchr(name, '.');

	t->entry = method ? NULL : find_service(list, name, strlen(name));
	if (!t->entry && dot) {
		t->entry = find_service(list, name, (size_t)(dot - name));
		t->method = dot + 1;
	}
	if (!t->entry)
		return no_service(list, name, dot ? (size_t)(dot - name) : strlen(name));
	t->service = text_of(t->entry, "schema_name");
	return 0;
}

/* What plugins have added while the service runs, behind what its schema has. */
static void add_added(struct target *t)
{
	const json_t *added;
	size_t i;

	json_array_foreach(json_object_get(t->entry, "added"), i, added)
	{
		bool idempotent = json_is_true(json_object_get(added, "idempotent"));
		json_t *row = json_pack("{s:s,s:I,s:n,s:n,s:n,s:o,s:s}", "method",
			text_of(added, "method"), "id",
			json_integer_value(json_object_get(added, "id")), "request", "response",
			"deadline_us", "idempotent", idempotent ? json_true() : json_null(), "doc",
			"(added by a plugin, shows no schema)");

		if (row)
			json_array_append_new(t->methods, row);
	}
}

/* Fetches and opens the schema of t->entry. */
static int open_schema(struct target *t, const char *peer, bool json)
{
	json_t *reply;
	unsigned char *bytes = NULL;
	char err[SENTENCE_MAX];
	size_t len = 0;
	int status = EXIT_FAILURE;

	reply = ask(json_pack("{s:s,s:s}", "cmd", "schema", "service", t->service), peer, json,
		&status);
	if (!reply)
		return status;
	if (protocol_hex(text_of(reply, "schema"), &bytes, &len))
		fprintf(stderr, "telactl: %s: the node sent no bytes\n", t->service);
	else if (!(t->schema = typed_open(bytes, len, err, sizeof(err))) ||
		 !(t->methods = typed_methods(t->schema, t->service, err, sizeof(err))))
		fprintf(stderr, "telactl: %s: %s\n", t->service, err);
	free(bytes);
	json_decref(reply);
	if (t->methods)
		add_added(t);
	return t->methods ? 0 : EXIT_FAILURE;
}

static void close_schema(struct target *t)
{
	typed_close(t->schema);
	json_decref(t->methods);
	t->schema = NULL;
	t->methods = NULL;
}

/* The method that was asked for, NULL after having said which there are. */
static const json_t *find_method(const struct target *t)
{
	const json_t *m;
	size_t i;

	json_array_foreach(t->methods, i, m)
	{
		if (!strcmp(text_of(m, "method"), t->method))
			return m;
	}
	fprintf(stderr, "telactl: NOT_FOUND: %s has no method '%s'; it has ", t->service,
		t->method);
	json_array_foreach(t->methods, i, m)
	{
		fprintf(stderr, "%s%s", i ? ", " : "", text_of(m, "method"));
	}
	fprintf(stderr, "\n");
	return NULL;
}

/* Why JSON does not go in and come out of a method; NULL: it does. */
static const char *untyped(const json_t *method)
{
	if (json_is_null(json_object_get(method, "request")))
		return "a plugin has added it, and no schema says what it takes";
	if (!strcmp(text_of(method, "request"), TYPED_BYTES) ||
		!strcmp(text_of(method, "response"), TYPED_BYTES))
		return "it takes or answers bytes, which are no JSON";
	return NULL;
}

static int no_schema(const struct target *t, const json_t *method, const char *peer)
{
	fprintf(stderr,
		"telactl: %s.%s: %s. With bytes it can be called:\n"
		"  telactl call --raw %s %lld schema=%s%s%s payload=@FILE\n",
		t->service, t->method, untyped(method), t->service,
		(long long)json_integer_value(json_object_get(method, "id")),
		text_of(t->entry, "hash"), peer ? " node=" : "", peer ? peer : "");
	return EXIT_FAILURE;
}

/* ---- describe ---- */

static void show(const json_t *what, bool json)
{
	if (!json) {
		print_reply(what);
		return;
	}
	json_dumpf(what, stdout, JSON_COMPACT);
	printf("\n");
}

/* A row for each method of each service. */
static int describe_all(const json_t *list, const struct typed_options *o, bool json)
{
	json_t *rows = json_array(), *all = json_pack("{s:o}", "methods", rows), *m;
	const json_t *entry;
	int status = 0;
	size_t i, j;

	json_array_foreach(list, i, entry)
	{
		struct target t = {.entry = entry, .service = text_of(entry, "schema_name")};
		int rc = 0;

		if (json_integer_value(json_object_get(entry, "schema_bytes")))
			rc = open_schema(&t, o->peer, false);
		else if ((t.methods = json_pack("[{s:s}]", "method", "(shows no schema)")))
			add_added(&t);
		json_array_foreach(t.methods, j, m)
		{
			json_t *row = json_pack("{s:s}", "service", t.service);

			json_object_update_missing(row, m);
			json_array_append_new(rows, row);
		}
		close_schema(&t);
		status = rc ? rc : status;
	}
	if (status != EXIT_UNREACHED)
		show(all, json);
	json_decref(all);
	return status;
}

static int describe_method(const struct target *t, const char *peer, bool json)
{
	const json_t *m = find_method(t);
	char err[SENTENCE_MAX] = "", *text, *template = NULL;

	if (!m)
		return EXIT_FAILURE;
	if (untyped(m))
		return no_schema(t, m, peer);
	text = typed_text(t->schema, t->service, t->method, err, sizeof(err));
	if (text)
		template = typed_template(t->schema, text_of(m, "request"), err, sizeof(err));
	if (!template) {
		fprintf(stderr, "telactl: %s.%s: %s\n", t->service, t->method, err);
	} else if (json) {
		json_t *all = json_pack("{s:s,s:O,s:s,s:s}", "service", t->service, "method", m,
			"schema", text, "template", template);

		show(all, true);
		json_decref(all);
	} else {
		printf("%s\ntelactl call %s.%s%s%s '%s'\n", text, t->service, t->method,
			peer ? " --peer " : "", peer ? peer : "", template);
	}
	free(text);
	free(template);
	return template ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int describe_one(const struct target *t, const struct typed_options *o, bool json)
{
	char err[SENTENCE_MAX], *text;
	json_t *all;

	if (t->method)
		return describe_method(t, o->peer, json);
	if (!o->fbs) {
		all = json_pack("{s:s,s:s,s:O}", "service", t->service, "hash",
			text_of(t->entry, "hash"), "methods", t->methods);
		show(all, json);
		json_decref(all);
		return EXIT_SUCCESS;
	}
	text = typed_text(t->schema, t->service, NULL, err, sizeof(err));
	if (text)
		fputs(text, stdout);
	else
		fprintf(stderr, "telactl: %s: %s\n", t->service, err);
	free(text);
	return text ? EXIT_SUCCESS : EXIT_FAILURE;
}

int typed_describe(char **words, int n, bool json)
{
	struct typed_options o = {0};
	struct target t = {0};
	int status = read_words("describe", words, n, &o);
	const json_t *list;
	json_t *reply;

	if (!status && o.fbs && !o.name)
		status = usage_error("describe", "--fbs needs a service", "");
	if (status)
		return status;
	reply = ask(json_pack("{s:s}", "cmd", "schema"), o.peer, json, &status);
	if (!reply)
		return status;
	list = json_object_get(reply, "services");
	if (!o.name)
		status = describe_all(list, &o, json);
	else if (!(status = resolve(list, o.name, false, &t)) &&
		 !(status = open_schema(&t, o.peer, json)))
		status = describe_one(&t, &o, json);
	close_schema(&t);
	json_decref(reply);
	return status;
}

/* ---- call ---- */

/* The request in hexadecimal, NULL after having said what is wrong with the JSON. */
static char *build(const struct target *t, const json_t *method, const char *body)
{
	const char *from = *body == '@' ? body + 1 : body;
	bool is_file = *body == '@' || !strcmp(body, "-");
	size_t len = strlen(body), n = 0;
	char *file = is_file ? words_file(from, BODY_BYTES_MAX, &len) : NULL, *hex = NULL;
	char err[SENTENCE_MAX];
	uint8_t *bytes;

	if (is_file && !file)
		return NULL;
	bytes = typed_build(t->schema, text_of(method, "request"), file ? file : body, len, &n, err,
		sizeof(err));
	if (!bytes)
		fprintf(stderr, "telactl: %s:%s\n",
			!is_file             ? "JSON"
			: !strcmp(from, "-") ? "standard input"
					     : from,
			err);
	else
		hex = protocol_hex_of(bytes, n);
	free(bytes);
	free(file);
	return hex;
}

static json_t *call_request(const struct target *t, const json_t *method,
	const struct typed_options *o, const char *hex)
{
	json_int_t own_us = json_integer_value(json_object_get(method, "deadline_us"));
	json_int_t ms = o->deadline_ms ? o->deadline_ms : (own_us + 999) / 1000;
	char id[24];
	json_t *r;

	snprintf(id, sizeof(id), "%lld",
		(long long)json_integer_value(json_object_get(method, "id")));
	r = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "cmd", "call", "service", t->service,
		"method", id, "method_name", t->method, "schema", text_of(t->entry, "hash"),
		"payload", hex, "idempotent", json_is_true(json_object_get(method, "idempotent")));
	if (ms)
		json_object_set_new(r, "deadline_ms", json_integer(ms));
	if (o->one_way)
		json_object_set_new(r, "one_way", json_true());
	if (o->trace)
		json_object_set_new(r, "trace", json_true());
	if (o->metadata)
		json_object_set(r, "metadata", o->metadata);
	return r;
}

/* With -o json what the node said of the call, the payload as JSON in `reply`. */
static void show_json(json_t *reply, const char *payload)
{
	char *rest;

	json_object_del(reply, "payload");
	rest = json_dumps(reply, JSON_COMPACT);
	CHECK(rest);
	if (payload)
		printf("%.*s,\"reply\":%s}\n", (int)strlen(rest) - 1, rest, payload);
	else
		printf("%s\n", rest);
	free(rest);
}

/* "CODE: sentence (outcome)", and what a Status says beyond that. */
static void show_status(const struct target *t, const json_t *reply)
{
	const char *key;
	json_t *value;

	fprintf(stderr, "telactl: %s.%s: %s: %s (%s)\n", t->service, t->method,
		text_of(reply, "status"), text_of(reply, "message"), text_of(reply, "outcome"));
	fprintf(stderr, "  %s: %s, %lld", text_of(reply, "result"), text_of(reply, "name"),
		(long long)json_integer_value(json_object_get(reply, "http")));
	json_object_foreach(json_object_get(reply, "data"), key, value)
		fprintf(stderr, ", %s=%s", key, json_string_value(value));
	if (json_object_get(reply, "retry_after_us"))
		fprintf(stderr, ", again in %.3f s",
			(double)json_integer_value(json_object_get(reply, "retry_after_us")) / 1e6);
	fprintf(stderr, "\n");
}

static int show_result(const struct target *t, const json_t *method, json_t *reply, bool json)
{
	bool ok = !strcmp(text_of(reply, "status"), "OK");
	unsigned char *bytes = NULL;
	char err[SENTENCE_MAX] = "", *payload = NULL;
	size_t len;

	if (ok && !*text_of(reply, "payload") && *text_of(reply, "name"))
		payload = strdup(json ? "null" : text_of(reply, "name"));
	else if (ok && !protocol_hex(text_of(reply, "payload"), &bytes, &len))
		payload = typed_print(t->schema, text_of(method, "response"), bytes, len,
			json ? TYPED_ONE_LINE : TYPED_TEXT, err, sizeof(err));
	if (!json && *text_of(reply, "trace"))
		fprintf(stderr, "trace %s\n", text_of(reply, "trace"));
	if (ok && !payload)
		fprintf(stderr, "telactl: %s.%s: %s\n", t->service, t->method, err);
	else if (json)
		show_json(reply, payload);
	else if (ok)
		printf("%s\n", payload);
	else
		show_status(t, reply);
	free(bytes);
	free(payload);
	return payload ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int call(const struct target *t, const struct typed_options *o, bool json)
{
	const json_t *method = find_method(t);
	int status = EXIT_FAILURE;
	json_t *reply;
	char *hex;

	if (!method)
		return EXIT_FAILURE;
	if (untyped(method))
		return no_schema(t, method, o->peer);
	hex = build(t, method, o->body ? o->body : "{}");
	if (!hex)
		return EXIT_USAGE;
	reply = ask(call_request(t, method, o, hex), o->peer, json, &status);
	free(hex);
	if (reply)
		status = show_result(t, method, reply, json);
	json_decref(reply);
	return status;
}

int typed_call(char **words, int n, bool json)
{
	struct typed_options o = {0};
	struct target t = {0};
	int status = read_words("call", words, n, &o);
	json_t *reply;

	if (!status && (!o.name || !strchr(o.name, '.')))
		status = usage_error(
			"call", "expected SERVICE.METHOD, found ", o.name ? o.name : "nothing");
	if (status) {
		json_decref(o.metadata);
		return status;
	}
	reply = ask(json_pack("{s:s}", "cmd", "schema"), o.peer, json, &status);
	if (!reply) {
		json_decref(o.metadata);
		return status;
	}
	status = resolve(json_object_get(reply, "services"), o.name, true, &t);
	if (!status)
		status = open_schema(&t, o.peer, json);
	if (!status)
		status = call(&t, &o, json);
	close_schema(&t);
	json_decref(reply);
	json_decref(o.metadata);
	return status;
}
