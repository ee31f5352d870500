/* cmd_trace.c - the latest traces, or one of them. */
#include "command.h"
#include "traces.h"

enum { LIST_DEFAULT = 50 };

void cmd_trace(struct control *c, struct request *r)
{
	const char *id = request_text(r, "trace");
	int64_t limit = request_number(r, "limit", LIST_DEFAULT);
	char err[200];
	json_t *spans;

	tela_node_poll(c->node); /* what has ended since the last tick is shown too */
	if (!id) {
		limit = limit < TRACES_LIST_MAX ? limit : TRACES_LIST_MAX;
		request_ok(
			r, json_pack("{s:o}", "traces", traces_list(c->traces, (uint32_t)limit)));
		return;
	}
	spans = traces_show(c->traces, id, err, sizeof(err));
	if (spans)
		request_ok(r, json_pack("{s:O,s:o}", "trace",
				      json_object_get(json_array_get(spans, 0), "trace"), "spans",
				      spans));
	else
		request_fail(r, -errno, "%s", err);
}
