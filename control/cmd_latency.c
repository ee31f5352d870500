/* cmd_latency.c - where the time of calls goes. */
#include "command.h"

struct rows {
	json_t *list;
	const char *of; /* a service or a method of one; NULL: all */
};

/* "echo" is service echo.Echo, and so is its full name; behind either may stand a method. */
static bool wanted(const char *of, const struct tela_latency *l)
{
	const char *dot = strchr(l->service, '.');
	const size_t names[] = {strlen(l->service), dot ? (size_t)(dot - l->service) : 0};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = names[i];

		if (!n || strncmp(of, l->service, n))
			continue;
		if (!of[n] || (of[n] == '.' && !strcmp(of + n + 1, l->method)))
			return true;
	}
	return false;
}

static void add_row(void *arg, const struct tela_latency *l)
{
	struct rows *rows = arg;

	if (rows->of && !wanted(rows->of, l))
		return;
	json_array_append_new(rows->list,
		json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "service", l->service,
			"method", l->method, "side", l->side, "part", l->part, "calls",
			(json_int_t)l->calls, "samples", (json_int_t)l->samples, "p50_ns",
			(json_int_t)l->p50_ns, "p90_ns", (json_int_t)l->p90_ns, "p99_ns",
			(json_int_t)l->p99_ns, "p99.9_ns", (json_int_t)l->p999_ns, "max_ns",
			(json_int_t)l->max_ns));
}

void cmd_latency(struct control *c, struct request *r)
{
	int64_t core = request_number(r, "core", -1);
	struct rows rows = {json_array(), request_text(r, "of")};
	int rc = tela_node_latency(c->node, core < 0 ? UINT32_MAX : (uint32_t)core, add_row, &rows);

	if (!rc) {
		request_ok(r, json_pack("{s:o}", "latency", rows.list));
		return;
	}
	json_decref(rows.list);
	if (rc == -EINVAL)
		request_fail(r, -ENOENT, "there are cores 0..%u", tela_node_n_cores(c->node) - 1);
	else
		request_fail(r, rc, "no memory");
}
