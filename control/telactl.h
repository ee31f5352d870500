/* telactl.h - the pieces of telactl: words of a command line into a request, a reply into a table.
 * What commands there are and what they take is asked of the node, so that an old telactl knows a
 * new node's commands. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The request that the words ask for, by the node's list of commands; NULL after having said why on
 * stderr. */
json_t *words_request(const json_t *commands, char **words, int n);
/* The command that the words begin with, NULL: none. *ret_words is how many name it. */
const json_t *words_command(const json_t *commands, char **words, int n, int *ret_words);

/* What stands in a file, or on standard input ("-"); to be freed. NULL after having said why. */
char *words_file(const char *path, size_t max, size_t *ret_len);

/* Sends `request`, whose reference it takes, and waits for the reply; for a terminal, `clean`.
 * NULL after having said that the node is gone. */
json_t *node_ask(json_t *request, bool clean);
/* Control characters in strings, which a peer may have sent, become '?'. */
void reply_clean(json_t *reply);
/* The error of a reply on stderr; or, as JSON, all of it on stdout. */
void print_error(const json_t *reply, bool json);

/* `describe` and `call`, without the command itself; exit status. */
int typed_describe(char **words, int n, bool json);
int typed_call(char **words, int n, bool json);
extern const char typed_describe_help[], typed_call_help[];

/* The spans of a reply as a tree. */
void print_trace(const json_t *reply);
/* What telactl's --help adds to the node's. */
extern const char trace_also_help[];
/* Takes also=SOCKET,SOCKET out of the words of `trace`; NULL: it is not there. */
const char *trace_take_also(char **words, int *n);
/* Puts the spans of another node's reply among those of `reply`, in order of their beginning. */
void trace_merge(json_t *reply, const json_t *other);

enum { EXIT_USAGE = 2, EXIT_UNREACHED = 3 };

void print_reply(const json_t *reply);
/* One line of how far something is; the reply is to come. */
void print_progress(const json_t *line);
void print_help(const json_t *command);
void print_commands(const json_t *commands);
