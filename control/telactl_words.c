#include "telactl.h"

#include "protocol.h"

#include "../dataplane/base.h"

#include <unistd.h>

enum {
	PAYLOAD_MAX = 480 << 10,    /* twice that in hexadecimal is still less than a line */
	DEFINITION_MAX = 128 << 10, /* six times, where a byte needs that in JSON */
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "chain.add" against "chain", "add": how many words, 0 if they differ. */
static int matches(const char *command, char **words, int n)
{
	int i = 0;

	while (i < n) {
		size_t len = strlen(words[i]);

		if (strncmp(command, words[i], len))
			return 0;
		command += len;
		i++;
		if (!*command)
			return i;
		if (*command++ != '.')
			return 0;
	}
	return 0;
}

const json_t *words_command(const json_t *commands, char **words, int n, int *ret_words)
{
	const json_t *c;
	size_t i;

	json_array_foreach(commands, i, c)
	{
		*ret_words = matches(text(c, "command"), words, n);
		if (*ret_words)
			return c;
	}
	return NULL;
}

static const json_t *find_argument(const json_t *command, const char *name, size_t len)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(command, "arguments"), i,
		a) if (strlen(text(a, "name")) == len &&
		       !memcmp(text(a, "name"), name, len)) return a;
	return NULL;
}

static const json_t *find_kind(const json_t *command, const char *kind)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(command, "arguments"), i,
		a) if (!strcmp(text(a, "kind"), kind)) return a;
	return NULL;
}

/* "chain.add" as it is typed. */
static const char *typed(const json_t *command)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s", text(command, "command"));
	for (char *c = name; *c; c++)
		if (*c == '.')
			*c = ' ';
	return name;
}

/* Says what there is instead: all that begin with the first word, if some do. */
static void no_command(const json_t *commands, char **words, int n)
{
	size_t len = strlen(words[0]), i;
	bool any = false;
	const json_t *c;

	json_array_foreach(commands, i, c)
	{
		const char *name = text(c, "command");

		if (strncmp(name, words[0], len) || name[len] != '.')
			continue;
		fprintf(stderr, "%s%s", any ? ", " : "telactl: there are ", typed(c));
		any = true;
	}
	if (any)
		fprintf(stderr, "; telactl --help tells more\n");
	else
		fprintf(stderr,
			"telactl: no command is named '%s%s%s'; telactl --help lists them\n",
			words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
}

/* ---- values ---- */

char *words_file(const char *path, size_t max, size_t *ret_len)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *bytes = malloc(max + 1);
	size_t n;

	CHECK(bytes);
	n = f ? fread(bytes, 1, max + 1, f) : 0;
	if (!f || ferror(f))
		fprintf(stderr, "telactl: %s: cannot be read: %s\n", path, strerror(errno));
	else if (n > max)
		fprintf(stderr, "telactl: %s: more than %zu bytes\n", path, max);
	else
		*ret_len = n;
	if (!f || ferror(f) || n > max) {
		free(bytes);
		bytes = NULL;
	}
	if (f && f != stdin)
		fclose(f);
	return bytes;
}

/* Hexadecimal of what stands in a file or on standard input. */
static json_t *read_bytes(const char *path)
{
	size_t n = 0;
	char *bytes = words_file(path, PAYLOAD_MAX, &n);
	char *hex = bytes ? protocol_hex_of(bytes, n) : NULL;
	json_t *value = hex ? json_string(hex) : NULL;

	free(bytes);
	free(hex);
	return value;
}

/* What stands in it, and what one needs to speak of it. */
static json_t *read_file(const char *path)
{
	size_t n = 0;
	char *bytes = words_file(path, DEFINITION_MAX, &n), here[4096];
	json_t *text = bytes && !memchr(bytes, 0, n) ? json_stringn(bytes, n) : NULL;
	json_t *file = text ? json_pack("{s:o,s:s}", "text", text, "name",
				      strcmp(path, "-") ? path : "standard input")
			    : NULL;

	if (bytes && !file)
		fprintf(stderr, "telactl: %s: is not text in UTF-8\n", path);
	if (file && getcwd(here, sizeof(here)))
		json_object_set_new(file, "folder", json_string(here));
	free(bytes);
	return file;
}

static json_t *read_number(const char *name, const char *s)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(s, &end, 10);
	if (!errno && end != s && !*end && v >= 0)
		return json_integer(v);
	fprintf(stderr, "telactl: %s: expected a number, found '%s'\n", name, s);
	return NULL;
}

static json_t *read_flag(const char *name, const char *s)
{
	if (!strcmp(s, "true") || !strcmp(s, "on") || !strcmp(s, "yes"))
		return json_true();
	if (!strcmp(s, "false") || !strcmp(s, "off") || !strcmp(s, "no"))
		return json_false();
	fprintf(stderr, "telactl: %s: expected true or false, found '%s'\n", name, s);
	return NULL;
}

static json_t *read_text(const char *s)
{
	json_t *value = json_string(s);

	if (!value)
		fprintf(stderr, "telactl: '%s' is not UTF-8\n", s);
	return value;
}

/* A path is meant from here, and the node runs elsewhere. */
static json_t *read_path(const char *s)
{
	char here[4096], path[8192];

	if (*s == '/' || !getcwd(here, sizeof(here)))
		return read_text(s);
	snprintf(path, sizeof(path), "%s/%s", here, s);
	return read_text(path);
}

static json_t *read_value(const json_t *argument, const char *s)
{
	const char *kind = text(argument, "kind");

	if (!strcmp(kind, "number"))
		return read_number(text(argument, "name"), s);
	if (!strcmp(kind, "flag"))
		return read_flag(text(argument, "name"), s);
	if (!strcmp(kind, "bytes") && (!strcmp(s, "-") || *s == '@'))
		return read_bytes(*s == '@' ? s + 1 : s);
	if (!strcmp(kind, "file"))
		return read_file(s);
	if (!strcmp(kind, "list") || !strcmp(kind, "config")) {
		json_t *v = json_loads(s, 0, NULL);

		if (!v)
			fprintf(stderr, "telactl: %s: expected JSON\n", text(argument, "name"));
		return v;
	}
	return !strcmp(text(argument, "name"), "object") ? read_path(s) : read_text(s);
}

/* ---- words ---- */

static int set(json_t *request, const json_t *argument, const char *s)
{
	json_t *value;

	if (json_object_get(request, text(argument, "name"))) {
		fprintf(stderr, "telactl: %s is given twice\n", text(argument, "name"));
		return -EINVAL;
	}
	value = read_value(argument, s);
	return value ? json_object_set_new(request, text(argument, "name"), value) : -EINVAL;
}

static int set_key(json_t *config, const char *key, json_t *value)
{
	if (!value)
		return -EINVAL;
	if (!json_object_set_new(config, key, value))
		return 0;
	fprintf(stderr, "telactl: a key is not UTF-8\n");
	return -EINVAL;
}

/* key=value for the plugin; "unset=key" takes one out, and "config.key=value" is for keys named
 * like an argument. */
static int set_config(json_t *request, const char *name, const char *word)
{
	json_t *config = json_object_get(request, name);
	const char *equals;
	char key[256];

	if (!config) {
		config = json_object();
		json_object_set_new(request, name, config);
	}
	if (!strncmp(word, "unset=", 6))
		return set_key(config, word + 6, json_null());
	if (!strncmp(word, "config.", 7))
		word += 7;
	equals = strchr(word, '=');
	if ((size_t)(equals - word) >= sizeof(key)) {
		fprintf(stderr, "telactl: a key of more than %zu bytes\n", sizeof(key) - 1);
		return -EINVAL;
	}
	snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
	return set_key(config, key, read_text(equals + 1));
}

static int set_positional(json_t *request, const json_t *command, const char *word)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(command, "arguments"), i,
		a) if ((json_is_true(json_object_get(a, "required")) ||
			       json_is_true(json_object_get(a, "positional"))) &&
		       !json_object_get(request, text(a, "name"))) return set(request, a, word);
	fprintf(stderr, "telactl: '%s' is not understood; see telactl %s --help\n", word,
		typed(command));
	return -EINVAL;
}

/* --name value, --name=value, and --name for a flag. Returns how many words were taken, or -EINVAL.
 */
static int set_option(json_t *request, const json_t *command, char **words, int n)
{
	const char *name = words[0] + 2;
	size_t len = strcspn(name, "=");
	const json_t *a = find_argument(command, name, len);

	if (!a) {
		fprintf(stderr, "telactl: %s is not understood; see telactl %s --help\n", words[0],
			typed(command));
		return -EINVAL;
	}
	if (name[len])
		return set(request, a, name + len + 1) ? -EINVAL : 1;
	if (!strcmp(text(a, "kind"), "flag"))
		return set(request, a, "true") ? -EINVAL : 1;
	if (n < 2) {
		fprintf(stderr, "telactl: %s needs a value\n", words[0]);
		return -EINVAL;
	}
	return set(request, a, words[1]) ? -EINVAL : 2;
}

static int set_word(json_t *request, const json_t *command, char **words, int n)
{
	const char *equals = strchr(words[0], '=');
	const json_t *a =
		equals ? find_argument(command, words[0], (size_t)(equals - words[0])) : NULL;
	const json_t *config = find_kind(command, "config");
	int rc;

	if (!strncmp(words[0], "--", 2))
		return set_option(request, command, words, n);
	if (a)
		rc = set(request, a, equals + 1);
	else if (equals && config && equals != words[0])
		rc = set_config(request, text(config, "name"), words[0]);
	else
		rc = set_positional(request, command, words[0]);
	return rc ? -EINVAL : 1;
}

static bool is_complete(const json_t *request, const json_t *command)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(command, "arguments"), i, a)
	{
		if (!json_is_true(json_object_get(a, "required")) ||
			json_object_get(request, text(a, "name")))
			continue;
		fprintf(stderr, "telactl: %s is missing: %s; see telactl %s --help\n",
			text(a, "name"), text(a, "help"), typed(command));
		return false;
	}
	return true;
}

json_t *words_request(const json_t *commands, char **words, int n)
{
	int taken;
	const json_t *command = words_command(commands, words, n, &taken);
	json_t *request;

	if (!command) {
		no_command(commands, words, n);
		return NULL;
	}
	request = json_object();
	json_object_set(request, "cmd", json_object_get(command, "command"));
	while (taken < n) {
		int rc = set_word(request, command, words + taken, n - taken);

		if (rc < 0)
			break;
		taken += rc;
	}
	if (taken == n && is_complete(request, command))
		return request;
	json_decref(request);
	return NULL;
}
