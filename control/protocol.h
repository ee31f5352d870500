/* protocol.h - what goes over the admin socket: one JSON object a line, each way.
 *
 *      {"cmd":"chain.add","id":7,"service":"echo","plugin":"counter","config":{"key":"value"}}
 *      {"ok":true,"id":7,"service":"echo","generation":12,...}
 *      {"ok":false,"id":7,"error":{"code":"NOT_FOUND","message":"no service is named 'ecko'"}}
 *
 * Requests may be pipelined. Those without an `id` are answered in the order in which they came;
 * one with an `id` (a string or a number, handed back) as soon as it is done. Changes of one
 * service are made in the order in which they came.
 *
 * Context:   any; no state. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { PROTOCOL_LINE_MAX = 1 << 20 };

enum argument_kind {
	ARGUMENT_TEXT,
	ARGUMENT_NUMBER, /* 0..2^63-1 */
	ARGUMENT_FLAG,
	ARGUMENT_BYTES,  /* hexadecimal */
	ARGUMENT_CONFIG, /* an object of values; null takes a key out. In telactl: every key=value
			    that is no other argument */
	ARGUMENT_LIST,   /* not to be given on a command line */
	ARGUMENT_FILE,   /* an object: its text, and for messages its name; folder, what relative
			    paths   in it start from. In telactl: a path, - for standard input */
};

extern const char *const argument_kind_names[];

struct argument {
	const char *name; /* NULL ends the list */
	enum argument_kind kind;
	bool required;   /* and so without its name in telactl, in the order of the list */
	bool positional; /* may be given without its name though it is not required */
	const char *help;
};

struct request;
struct control;

struct command {
	const char *name; /* "chain.add"; "chain add" in telactl */
	const char *help;
	const char *example; /* for telactl, without its name; NULL: none */
	const struct argument *arguments;
	void (*run)(struct control *c, struct request *r);
};

/* The object in a line, or NULL with what is wrong and where. */
json_t *protocol_parse(const char *line, size_t len, char *err, size_t err_len);
/* Every argument is known and of its kind, none is missing. 0 or -EINVAL. */
int protocol_check(const struct command *c, const json_t *request, char *err, size_t err_len);
/* Name of the gRPC status that fits an errno best. */
const char *protocol_code(int error);
/* Bytes of a hexadecimal text (spaces and colons between bytes allowed); -EINVAL. *ret is to be
 * freed. */
int protocol_hex(const char *text, unsigned char **ret, size_t *ret_len);
/* The other way; to be freed. NULL: no memory. */
char *protocol_hex_of(const void *bytes, size_t len);
