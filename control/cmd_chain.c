/* cmd_chain.c - the plugins of a running service: shown and changed. */
#include "change.h"
#include "command.h"
#include "part.h"

enum { STEPS_MAX = 64, CONFIG_KEYS_MAX = 256 };

/* A change that came over the admin socket. Its strings are those of the request, and texts made of
 * numbers. */
struct chain_request {
	struct change change;
	struct request *request;
	struct text {
		struct text *next;
		char text[];
	} * texts;
	struct change_step steps[];
};

/* ---- replies ---- */

static json_t *plugins_of(const struct record *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; r && i < r->n; i++) {
		const struct tela_instance *instance = r->declared[r->call[i]];

		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:I}", "name", instance->name, "plugin",
				      instance->plugin->name, "version", instance->plugin->version,
				      "instance", (json_int_t)instance->id));
	}
	return list;
}

static uint32_t start_place(const struct record *r, uint32_t declared)
{
	uint32_t i = 0;

	while (r->start[i] != declared)
		i++;
	return i + 1;
}

static json_t *show_workers(const struct tela_instance *i)
{
	json_t *list = json_array();
	const char *name;
	uint32_t restarts;
	bool runs;

	for (uint32_t w = 0; team_show(i->root->team, w, &name, &runs, &restarts); w++)
		json_array_append_new(list, json_pack("{s:s,s:b,s:i}", "worker", name, "runs", runs,
						    "restarts", (int)restarts));
	return list;
}

static json_t *show_plugins(const struct record *r)
{
	json_t *list = plugins_of(r);

	for (uint32_t i = 0; r && i < r->n; i++) {
		const struct tela_instance *instance = r->declared[r->call[i]];
		json_t *o = json_array_get(list, i);

		json_object_set_new(o, "starts", json_integer(start_place(r, r->call[i])));
		json_object_set_new(o, "automatic", json_boolean(instance->automatic));
		json_object_set_new(o, "object",
			instance->plugin->path ? json_string(instance->plugin->path) : json_null());
		json_object_set_new(o, "config", command_config_of(instance));
		json_object_set_new(o, "workers", show_workers(instance));
	}
	return list;
}

void cmd_chain_show(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);

	if (!s)
		return;
	request_ok(r, json_pack("{s:s,s:s,s:I,s:I,s:i,s:i,s:b,s:o}", "service", s->name, "state",
			      running_name(s->status), "generation",
			      (json_int_t)(s->current ? s->current->generation : 0), "calls",
			      (json_int_t)(s->image ? tela_image_calls(s->image) : 0), "retiring",
			      (int)s->n_retiring, "stopping", (int)s->n_stopping, "staged",
			      s->staged != NULL, "plugins", show_plugins(s->current)));
}

/* ---- steps from JSON ---- */

/* Memory that lives as long as the change; NULL: there is none. */
static void *keep(struct chain_request *q, size_t size)
{
	struct text *t = calloc(1, sizeof(*t) + size);

	if (!t)
		return NULL;
	t->next = q->texts;
	q->texts = t;
	return t->text;
}

static int no_memory(struct chain_request *q)
{
	return change_fail(&q->change, -ENOMEM, "out of memory");
}

static int value_text(
	struct chain_request *q, const char *key, const json_t *v, const char **ret_value)
{
	char *value = command_value(v), *copy;

	if (!value && errno == EINVAL)
		return command_no_value(key, v, q->change.error, sizeof(q->change.error));
	copy = value ? keep(q, strlen(value) + 1) : NULL;
	*ret_value = copy ? strcpy(copy, value) : NULL;
	free(value);
	return copy ? 0 : no_memory(q);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

static int read_config(struct chain_request *q, const json_t *config, struct change_step *step)
{
	size_t size = json_object_size(config);
	const char **unset;
	struct tela_pair *pairs;
	uint32_t n = 0, n_unset = 0;
	const char *key;
	json_t *v;
	int rc;

	if (!size)
		return 0;
	if (size > CONFIG_KEYS_MAX)
		return change_fail(&q->change, -E2BIG, "more than %d keys", CONFIG_KEYS_MAX);
	pairs = keep(q, size * sizeof(*pairs));
	unset = keep(q, (size + 1) * sizeof(*unset));
	if (!pairs || !unset)
		return no_memory(q);
	json_object_foreach((json_t *)config, key, v)
	{
		if (json_is_null(v)) {
			unset[n_unset++] = key;
			continue;
		}
		pairs[n].key = key;
		rc = value_text(q, key, v, &pairs[n++].value);
		if (rc)
			return rc;
	}
	qsort(pairs, n, sizeof(*pairs), by_key);
	step->config = (struct tela_plugin_config){n, pairs};
	step->unset = unset;
	return 0;
}

/* A relative path is the client's, who need not run where the node does. */
static int read_step(
	struct chain_request *q, const json_t *o, enum change_op op, struct change_step *step)
{
	step->op = op;
	step->plugin = json_string_value(json_object_get(o, op == CHANGE_ADD ? "plugin" : "name"));
	step->as = json_string_value(json_object_get(o, "as"));
	step->object = json_string_value(json_object_get(o, "object"));
	step->before = json_string_value(json_object_get(o, "before"));
	step->after = json_string_value(json_object_get(o, "after"));
	if (!step->plugin)
		return change_fail(&q->change, -EINVAL, "'%s' is missing",
			op == CHANGE_ADD ? "plugin" : "name");
	return read_config(q, json_object_get(o, "config"), step);
}

/* ---- the change ---- */

static void chain_free(struct chain_request *q)
{
	struct text *next;

	for (; q->texts; q->texts = next) {
		next = q->texts->next;
		free(q->texts);
	}
	free(q);
}

static void chain_done(struct change *c, int error)
{
	struct chain_request *q = container_of(c, struct chain_request, change);

	if (error) {
		stack_log(c->stack, TELA_LOG_INFO, "change refused: %s", c->error);
		request_fail(q->request, error, "%s", c->error);
	} else {
		part_answer(c, q->request,
			json_pack("{s:s,s:I,s:o,s:b,s:i}", "service", c->stack->name, "generation",
				(json_int_t)c->generation, "plugins", plugins_of(c->record),
				"published", 1, "merged", (int)c->merged));
	}
	chain_free(q);
}

static struct chain_request *chain_create(struct control *c, struct request *r, size_t n_steps)
{
	struct stack *s = command_service(c, r);
	struct chain_request *q;

	if (!s)
		return NULL;
	if (c->draining) {
		request_fail(r, -ESHUTDOWN, "the node is draining: nothing is changed any more");
		return NULL;
	}
	q = calloc(1, sizeof(*q) + n_steps * sizeof(q->steps[0]));
	if (!q) {
		request_fail(r, -ENOMEM, "out of memory");
		return NULL;
	}
	q->request = r;
	q->change.stack = s;
	q->change.steps = q->steps;
	q->change.n_steps = (uint32_t)n_steps;
	q->change.done = chain_done;
	return q;
}

static void chain_refuse(struct chain_request *q, int error)
{
	request_fail(q->request, error, "%s", q->change.error);
	chain_free(q);
}

static void chain_one(struct control *c, struct request *r, enum change_op op)
{
	struct chain_request *q = chain_create(c, r, 1);
	int rc;

	if (!q)
		return;
	rc = read_step(q, request_arguments(r), op, &q->steps[0]);
	if (rc)
		chain_refuse(q, rc);
	else
		change_submit(&q->change);
}

void cmd_chain_add(struct control *c, struct request *r)
{
	chain_one(c, r, CHANGE_ADD);
}

void cmd_chain_remove(struct control *c, struct request *r)
{
	chain_one(c, r, CHANGE_REMOVE);
}

void cmd_chain_replace(struct control *c, struct request *r)
{
	chain_one(c, r, CHANGE_REPLACE);
}

/* Each step is checked as the command of its name would be. */
static int read_listed_step(struct chain_request *q, const json_t *o, struct change_step *step)
{
	static const char *const names[] = {"chain.add", "chain.remove", "chain.replace"};
	const char *op = json_string_value(json_object_get(o, "op"));
	json_t *copy;
	int rc, which;

	for (which = 0; which < 3; which++)
		if (op && !strcmp(op, names[which] + strlen("chain.")))
			break;
	if (which == 3)
		return change_fail(
			&q->change, -EINVAL, "steps: each needs \"op\": add, remove or replace");
	copy = json_copy((json_t *)o);
	if (!copy)
		return no_memory(q);
	json_object_del(copy, "op");
	json_object_set(copy, "service", json_object_get(request_arguments(q->request), "service"));
	rc = protocol_check(
		command_find(names[which]), copy, q->change.error, sizeof(q->change.error));
	json_decref(copy);
	return rc ? rc : read_step(q, o, (enum change_op)which, step);
}

void cmd_chain_apply(struct control *c, struct request *r)
{
	const json_t *list = json_object_get(request_arguments(r), "steps");
	size_t n = json_array_size(list);
	struct chain_request *q;
	int rc = 0;

	if (!n || n > STEPS_MAX) {
		request_fail(r, -EINVAL, "steps: expected 1 to %d", STEPS_MAX);
		return;
	}
	q = chain_create(c, r, n);
	if (!q)
		return;
	for (size_t i = 0; i < n && !rc; i++)
		rc = read_listed_step(q, json_array_get(list, i), &q->steps[i]);
	if (rc)
		chain_refuse(q, rc);
	else
		change_submit(&q->change);
}
