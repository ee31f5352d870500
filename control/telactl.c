/* telactl.c - talks to a running node over its admin socket. */
#include "telactl.h"

#include "protocol.h"

#include "../dataplane/base.h"
#include "../dataplane/tela_node.h"

#include <glob.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORDS_MAX = 512, WINDOW = 64 };

static const char usage[] =
	"telactl - talk to a running node\n"
	"\n"
	"  telactl [-o json] [--socket PATH] COMMAND [argument ...] [key=value ...]\n"
	"  telactl COMMAND --help        what a command takes\n"
	"  telactl describe [SERVICE[.METHOD]]         what is served, and what it takes\n"
	"  telactl call SERVICE.METHOD '{\"json\": 1}'   a call by schema\n"
	"  telactl batch < FILE          one command a line, sent without waiting for each\n"
	"\n"
	"  -o, --output table|json       how replies are shown\n"
	"  -s, --socket PATH             admin socket; else $TELA_SOCKET, else the only one in "
	"/run/tela\n"
	"  -h, --help\n"
	"      --version\n"
	"\n"
	"Exit status: 0 done, 1 the command failed, 2 usage, 3 the node cannot be reached.\n";

struct options {
	bool json, help;
	const char *socket;
	char *words[WORDS_MAX];
	int n;
};

static const char batch_help[] =
	"telactl batch < FILE\n"
	"  one command a line, as telactl takes them, sent without waiting for each; replies come "
	"in\n"
	"  order. Empty lines and those that begin with # are skipped; of calls it takes call "
	"--raw.\n"
	"  Exit status 1: at least one failed. What follows a line that is wrong is not sent.\n";

static json_t *commands; /* the node's list */
static FILE *to, *from;

/* ---- the connection ---- */

/* The only socket there is; with several, or none, the user must say. */
static const char *default_socket(void)
{
	static char path[108];
	const char *given = getenv("TELA_SOCKET");
	glob_t found = {0};

	if (given && *given)
		return given;
	if (!glob("/run/tela/*.sock", 0, NULL, &found) && found.gl_pathc == 1 &&
		strlen(found.gl_pathv[0]) < sizeof(path)) {
		strcpy(path, found.gl_pathv[0]);
		globfree(&found);
		return path;
	}
	fprintf(stderr, "telactl: %s socket in /run/tela; say which with --socket or TELA_SOCKET\n",
		found.gl_pathc > 1 ? "more than one" : "no");
	return NULL;
}

static bool reach(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (!path)
		return false;
	if (strlen(path) >= sizeof(a.sun_path)) {
		fprintf(stderr, "telactl: %s: too long for a socket\n", path);
		return false;
	}
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		fprintf(stderr, "telactl: no node can be reached at %s: %s%s\n", path,
			strerror(errno),
			errno == EACCES ? "; be root, the node's user or in its group"
					: "; does telad run?");
		return false;
	}
	to = fdopen(fd, "w");
	from = fdopen(dup(fd), "r");
	return to && from;
}

static bool send_request(const json_t *request)
{
	return !json_dumpf(request, to, JSON_COMPACT) && fputc('\n', to) != EOF;
}

static json_t *read_reply(void)
{
	char *line = NULL;
	size_t room = 0;
	json_t *reply = NULL;
	ssize_t n;

	if (fflush(to) == 0 && (n = getline(&line, &room, from)) > 0)
		reply = json_loadb(line, (size_t)n, 0, NULL);
	free(line);
	if (!reply)
		fprintf(stderr, "telactl: the node closed the connection\n");
	return reply;
}

static bool learn_commands(void)
{
	json_t *reply = node_ask(json_pack("{s:s}", "cmd", "commands"), false);

	commands = json_incref(json_object_get(reply, "commands"));
	if (reply && !commands)
		fprintf(stderr, "telactl: %s\n",
			json_string_value(
				json_object_get(json_object_get(reply, "error"), "message")));
	json_decref(reply);
	return commands != NULL;
}

json_t *node_ask(json_t *request, bool clean)
{
	json_t *reply = send_request(request) ? read_reply() : NULL;

	json_decref(request);
	if (reply && clean)
		reply_clean(reply);
	return reply;
}

/* ---- replies ---- */

void print_error(const json_t *reply, bool json)
{
	const json_t *error = json_object_get(reply, "error");
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));

	if (!json) {
		fprintf(stderr, "telactl: %s: %s\n", code ? code : "INTERNAL",
			message ? message : "no reason given");
		return;
	}
	json_dumpf(reply, stdout, JSON_COMPACT);
	printf("\n");
}

/* The reply itself, after what is told of it on the way. NULL: the node is gone, or whoever reads
 * this. */
static json_t *show_progress(json_t *reply, bool json)
{
	while (reply && json_is_true(json_object_get(reply, "progress"))) {
		if (json)
			print_error(reply, true);
		else
			print_progress(reply);
		json_decref(reply);
		if (fflush(stdout))
			return NULL;
		reply = read_reply();
		if (reply && !json)
			reply_clean(reply);
	}
	return reply;
}

static int show(const json_t *reply, bool json)
{
	bool ok = json_is_true(json_object_get(reply, "ok"));

	if (ok && !json && json_object_get(reply, "spans"))
		print_trace(reply);
	else if (ok && !json)
		print_reply(reply);
	else
		print_error(reply, json); /* a reply that is JSON is shown as it came */
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Takes --raw out: `call` then is the node's own command, with a payload of bytes. */
static bool take_raw(char **words, int *n)
{
	for (int i = 1; i < *n; i++) {
		if (strcmp(words[i], "--raw"))
			continue;
		memmove(words + i, words + i + 1, (size_t)(--*n - i) * sizeof(*words));
		return true;
	}
	return false;
}

/* What other nodes have of the same trace; one that has nothing of it says so, which is no error.
 */
static int add_from(json_t *reply, json_t *request, const char *sockets, bool json)
{
	char *list = strdup(sockets), *rest = NULL;
	int status = EXIT_SUCCESS;

	for (char *path = strtok_r(list, ",", &rest); path && !status;
		path = strtok_r(NULL, ",", &rest)) {
		json_t *other = NULL;

		fclose(to);
		fclose(from);
		if (reach(path))
			other = node_ask(json_incref(request), !json);
		status = other ? EXIT_SUCCESS : EXIT_UNREACHED;
		trace_merge(reply, other);
		json_decref(other);
	}
	free(list);
	return status;
}

static int run_one(struct options *o)
{
	const char *also = NULL;
	json_t *request, *reply;
	int status;

	if (!strcmp(o->words[0], "describe"))
		return typed_describe(o->words + 1, o->n - 1, o->json);
	if (!strcmp(o->words[0], "call") && !take_raw(o->words, &o->n))
		return typed_call(o->words + 1, o->n - 1, o->json);
	if (!strcmp(o->words[0], "trace"))
		also = trace_take_also(o->words, &o->n);
	request = words_request(commands, o->words, o->n);
	if (!request)
		return EXIT_USAGE;
	reply = show_progress(node_ask(json_incref(request), !o->json), o->json);
	status = reply ? EXIT_SUCCESS : EXIT_UNREACHED;
	if (reply && also && json_object_get(reply, "spans"))
		status = add_from(reply, request, also, o->json);
	if (!status)
		status = show(reply, o->json);
	json_decref(request);
	json_decref(reply);
	return status;
}

/* ---- batch ---- */

static int split(char *line, char **words)
{
	char *rest = NULL;
	int n = 0;

	for (char *w = strtok_r(line, " \t\n", &rest); w && n < WORDS_MAX;
		w = strtok_r(NULL, " \t\n", &rest))
		words[n++] = w;
	return n;
}

static int show_next(bool json, int *status)
{
	json_t *reply = read_reply();

	if (reply && !json)
		reply_clean(reply);
	reply = show_progress(reply, json);
	if (!reply)
		return -1;
	if (show(reply, json))
		*status = EXIT_FAILURE;
	json_decref(reply);
	return 0;
}

/* Replies come in the order of the commands. At most WINDOW are under way, so that neither side
 * waits for the other to read. */
static int run_batch(bool json)
{
	int status = EXIT_SUCCESS, waiting = 0, number = 0;
	char *line = NULL, *words[WORDS_MAX];
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		int n = split(line, words);
		json_t *request;

		number++;
		if (!n || words[0][0] == '#')
			continue;
		request = NULL;
		if (!strcmp(words[0], "describe") ||
			(!strcmp(words[0], "call") && !take_raw(words, &n)))
			fprintf(stderr, "telactl: %s\n",
				*words[0] == 'd' ? "there is no describe in a batch"
						 : "in a batch only call --raw is understood");
		else
			request = words_request(commands, words, n);
		if (!request) {
			fprintf(stderr, "telactl: line %d was not sent, nor what follows\n",
				number);
			status = EXIT_USAGE;
			break;
		}
		if (!send_request(request))
			status = EXIT_UNREACHED;
		json_decref(request);
		if (++waiting == WINDOW && show_next(json, &status))
			return EXIT_UNREACHED;
		waiting -= waiting == WINDOW;
	}
	free(line);
	while (waiting-- > 0)
		if (show_next(json, &status))
			return EXIT_UNREACHED;
	return status;
}

/* ---- the command line ---- */

static int usage_error(const char *what, const char *word)
{
	fprintf(stderr, "telactl: %s%s; telactl --help shows how\n", what, word);
	return EXIT_USAGE;
}

/* What is telactl's own; the rest are words of the command. -1: go on. */
static int read_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *w = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(w, "-h") || !strcmp(w, "--help")) {
			o->help = true;
		} else if (!strcmp(w, "--version")) {
			printf("telactl %s\n", TELA_VERSION);
			return EXIT_SUCCESS;
		} else if (!strcmp(w, "-o") || !strcmp(w, "--output")) {
			if (!next || (strcmp(next, "json") && strcmp(next, "table")))
				return usage_error("-o takes json or table", "");
			o->json = !strcmp(argv[++i], "json");
		} else if (!strcmp(w, "-s") || !strcmp(w, "--socket")) {
			if (!next)
				return usage_error("--socket takes a path", "");
			o->socket = argv[++i];
		} else if (w[0] == '-' && w[1] && w[1] != '-') {
			return usage_error("not understood: ", w);
		} else if (o->n == WORDS_MAX) {
			return usage_error("too many words", "");
		} else {
			o->words[o->n++] = argv[i];
		}
	}
	return -1;
}

/* Of what is telactl's own; NULL: it is the node's. */
static const char *own_help(struct options *o)
{
	if (!strcmp(o->words[0], "batch"))
		return batch_help;
	if (!strcmp(o->words[0], "describe"))
		return typed_describe_help;
	return !strcmp(o->words[0], "call") && !take_raw(o->words, &o->n) ? typed_call_help : NULL;
}

static int help(struct options *o)
{
	const json_t *command;
	const char *own;
	int taken;

	if (!o->n) {
		fputs(usage, stdout);
		printf("\nCommands:\n");
		if (commands)
			print_commands(commands);
		else
			printf("  (they are listed by the node, which cannot be reached)\n");
		return EXIT_SUCCESS;
	}
	own = own_help(o);
	if (own) {
		fputs(own, stdout);
		return EXIT_SUCCESS;
	}
	command = commands ? words_command(commands, (char **)o->words, o->n, &taken) : NULL;
	if (command)
		print_help(command);
	if (command && !strcmp(o->words[0], "trace"))
		fputs(trace_also_help, stdout);
	if (!command)
		fprintf(stderr, "telactl: no command is named '%s', or the node cannot be asked\n",
			o->words[0]);
	return command ? EXIT_SUCCESS : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static struct options o;
	int status = read_options(argc, argv, &o);

	if (status >= 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (!o.n && !o.help) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (!reach(o.socket ? o.socket : default_socket()) || !learn_commands())
		return o.help ? help(&o) : EXIT_UNREACHED;
	if (o.help)
		return help(&o);
	if (o.n == 1 && !strcmp(o.words[0], "batch"))
		return run_batch(o.json);
	return run_one(&o);
}
