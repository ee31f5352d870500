/* cmd_failures.c - calls that did not end well. */
#include "command.h"

static json_t *text(const char *s)
{
	json_t *t = json_string(s);

	return t ? t : json_string("?"); /* not UTF-8 */
}

static void add_row(void *arg, const struct tela_ends *e)
{
	json_array_append_new(arg,
		json_pack("{s:s,s:o,s:o,s:s,s:o,s:I}", "side", e->side, "service", text(e->service),
			"method", text(e->method), "code", tela_code_name(e->code), "reason",
			text(e->reason), "calls", (json_int_t)e->calls));
}

void cmd_failures(struct control *c, struct request *r)
{
	json_t *rows = json_array();

	tela_node_ends(c->node, add_row, rows);
	request_ok(r, json_pack("{s:o}", "failures", rows));
}
