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

void print_reply(const json_t *reply);
void print_help(const json_t *command);
void print_commands(const json_t *commands);
