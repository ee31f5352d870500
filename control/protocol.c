#include "protocol.h"

#include "../dataplane/base.h"

const char *const argument_kind_names[] = {
	"text", "number", "flag", "bytes", "config", "list", "file"};

json_t *protocol_parse(const char *line, size_t len, char *err, size_t err_len)
{
	json_error_t why;
	const char *zero = memchr(line, 0, len);
	json_t *j;

	if (zero) { /* jansson would take it for the end */
		snprintf(err, err_len, "not JSON: a zero byte, at byte %zu of the line",
			(size_t)(zero - line) + 1);
		return NULL;
	}
	j = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!j) {
		snprintf(err, err_len, "not JSON: %s, at byte %d of the line", why.text,
			why.position);
		return NULL;
	}
	if (json_is_object(j))
		return j;
	json_decref(j);
	snprintf(err, err_len, "expected one JSON object, such as {\"cmd\":\"status\"}");
	return NULL;
}

static bool is_kind(const json_t *v, enum argument_kind kind)
{
	switch (kind) {
	case ARGUMENT_NUMBER:
		return json_is_integer(v) && json_integer_value(v) >= 0 &&
		       json_integer_value(v) <= UINT32_MAX;
	case ARGUMENT_FLAG:
		return json_is_boolean(v);
	case ARGUMENT_CONFIG:
		return json_is_object(v);
	case ARGUMENT_FILE:
		return json_is_string(json_object_get(v, "text"));
	case ARGUMENT_LIST:
		return json_is_array(v);
	default:
		return json_is_string(v);
	}
}

static const struct argument *find_argument(const struct command *c, const char *name)
{
	const struct argument *a = c->arguments;

	while (a && a->name && strcmp(a->name, name))
		a++;
	return a && a->name ? a : NULL;
}

static int unknown_argument(const struct command *c, const char *name, char *err, size_t err_len)
{
	size_t n = snprintf(err, err_len, "%s takes no '%.64s'; it takes", c->name, name);

	for (const struct argument *a = c->arguments; a && a->name && n < err_len; a++)
		n += snprintf(err + n, err_len - n, "%s %s", a == c->arguments ? "" : ",", a->name);
	if (n < err_len && (!c->arguments || !c->arguments->name))
		snprintf(err + n, err_len - n, " nothing");
	return -EINVAL;
}

int protocol_check(const struct command *c, const json_t *request, char *err, size_t err_len)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)request, key, value)
	{
		const struct argument *a = find_argument(c, key);

		if (!strcmp(key, "cmd") || !strcmp(key, "id"))
			continue;
		if (!a)
			return unknown_argument(c, key, err, err_len);
		if (!is_kind(value, a->kind)) {
			snprintf(err, err_len, "%s: '%s' must be %s %s (%s)", c->name, key,
				a->kind == ARGUMENT_CONFIG ? "an object,"
				: a->kind == ARGUMENT_FILE ? "an object with text, name, folder: a"
				: a->kind == ARGUMENT_NUMBER ? "0 to 4294967295, a"
							     : "a",
				argument_kind_names[a->kind], a->help);
			return -EINVAL;
		}
	}
	for (const struct argument *a = c->arguments; a && a->name; a++) {
		if (!a->required || json_object_get(request, a->name))
			continue;
		snprintf(err, err_len, "%s: '%s' is missing (%s)", c->name, a->name, a->help);
		return -EINVAL;
	}
	return 0;
}

const char *protocol_code(int error)
{
	switch (-error) {
	case ENOENT:
		return "NOT_FOUND";
	case EEXIST:
		return "ALREADY_EXISTS";
	case EINVAL:
	case ENAMETOOLONG:
	case EBADMSG:
	case ELIBBAD:
		return "INVALID_ARGUMENT";
	case ETIMEDOUT:
		return "DEADLINE_EXCEEDED";
	case EDEADLK:
	case ENOTCONN:
	case ESHUTDOWN:
		return "UNAVAILABLE";
	case EBUSY:
	case ELOOP:
	case EPROTO:
		return "FAILED_PRECONDITION";
	case ENOMEM:
	case E2BIG:
	case EAGAIN:
	case EMSGSIZE:
		return "RESOURCE_EXHAUSTED";
	case EACCES:
	case EPERM:
		return "PERMISSION_DENIED";
	case ENOSYS:
		return "UNIMPLEMENTED";
	default:
		return "INTERNAL";
	}
}

char *protocol_hex_of(const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * len + 1);

	for (size_t i = 0; text && i < len; i++) {
		text[2 * i] = digits[((const unsigned char *)bytes)[i] >> 4];
		text[2 * i + 1] = digits[((const unsigned char *)bytes)[i] & 15];
	}
	if (text)
		text[2 * len] = 0;
	return text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int protocol_hex(const char *text, unsigned char **ret, size_t *ret_len)
{
	unsigned char *bytes = malloc(strlen(text) / 2 + 1);
	size_t n = 0;

	if (!bytes)
		return -ENOMEM;
	while (*text) {
		if (*text == ' ' || *text == ':') {
			text++;
			continue;
		}
		if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0) {
			free(bytes);
			return -EINVAL;
		}
		bytes[n++] = (unsigned char)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
	}
	*ret = bytes;
	*ret_len = n;
	return 0;
}
