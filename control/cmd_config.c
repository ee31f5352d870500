/* cmd_config.c - the configuration of a whole service: shown, and merged at run time.
 *
 * It is one tree: below each name that 'chain show' lists, that plugin's keys. A merge replaces the
 * keys that it names and leaves all others; plugins whose keys change get a new instance each, all
 * in one image, and the others keep theirs. If one of them refuses, nothing has changed. */
#include "change.h"
#include "command.h"
#include "keys.h"
#include "part.h"

enum { KEYS_MAX = 256 };

struct merge {
	struct change change;
	struct request *request;
	struct change_step steps[ORDER_MAX];
	struct tela_pair pairs[KEYS_MAX];        /* each step's stand together, sorted */
	const char *unset[KEYS_MAX + ORDER_MAX]; /* each step's end with NULL */
	uint32_t n_pairs, n_unset, n_texts;
	char *texts[KEYS_MAX + ORDER_MAX]; /* values; whose keys change */
};

static json_t *keys_of_all(const struct record *r)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; r && i < r->n; i++)
		command_keys(rows, r->declared[r->call[i]]->plugin, r->declared[r->call[i]]);
	return rows;
}

static json_t *tree_of(const struct record *r)
{
	json_t *tree = json_object();

	for (uint32_t i = 0; r && i < r->n; i++) {
		const struct tela_instance *instance = r->declared[r->call[i]];

		json_object_set_new(tree, instance->name, command_config_of(instance));
	}
	return tree;
}

void cmd_config_show(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);

	if (s)
		request_ok(
			r, json_pack("{s:s,s:I,s:o,s:o}", "service", s->name, "generation",
				   (json_int_t)(s->current ? s->current->generation : 0), "config",
				   tree_of(s->current), "keys", keys_of_all(s->current)));
}

/* ---- merge ---- */

/* The name that `key` begins with, the longest: names may hold dots too. */
static const struct tela_instance *owner(const struct record *r, const char *key)
{
	const struct tela_instance *found = NULL;

	for (uint32_t i = 0; i < r->n; i++) {
		size_t n = strlen(r->declared[i]->name);

		if (!strncmp(key, r->declared[i]->name, n) && key[n] == '.' && key[n + 1] &&
			(!found || n > strlen(found->name)))
			found = r->declared[i];
	}
	return found;
}

/* A copy that lives as long as the change; NULL: there is no memory. */
static const char *keep(struct merge *m, const char *text)
{
	m->texts[m->n_texts] = strdup(text);
	return m->texts[m->n_texts] ? m->texts[m->n_texts++] : NULL;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

/* A key that is taken out takes what lies below it along. */
static bool changes(const struct tela_instance *i, const char *key, const char *value)
{
	const char *now = tela_config_str(&i->given, key, NULL);
	size_t n = strlen(key);
	bool below = false;

	for (uint32_t k = 0; !value && k < i->given.n; k++)
		below |= !strncmp(i->given.pairs[k].key, key, n) && i->given.pairs[k].key[n] == '.';
	return value ? !now || strcmp(now, value) != 0 : now || below;
}

/* The step of one plugin: 1 if its keys change, 0 if they do not, or an error. */
static int read_step(struct merge *m, const struct record *r, const struct tela_instance *i,
	const json_t *config, struct change_step *step)
{
	struct tela_pair *pairs = &m->pairs[m->n_pairs];
	const char **unset = &m->unset[m->n_unset], *key;
	uint32_t n = 0, n_unset = 0;
	bool any = false;
	json_t *v;

	json_object_foreach((json_t *)config, key, v)
	{
		const char *own = key + strlen(i->name) + 1;
		char *value = NULL;

		if (owner(r, key) != i)
			continue;
		if (!json_is_null(v)) {
			value = command_value(v);
			if (!value && errno == ENOMEM)
				return change_fail(&m->change, -ENOMEM, "out of memory");
			if (!value)
				return command_no_value(
					key, v, m->change.error, sizeof(m->change.error));
			m->texts[m->n_texts++] = value;
			pairs[n++] = (struct tela_pair){own, value};
		} else {
			unset[n_unset++] = own;
		}
		any = any || changes(i, own, value) || !keys_know(i->plugin->desc, own);
	}
	qsort(pairs, n, sizeof(*pairs), by_key);
	if (!any)
		return 0;
	m->n_pairs += n;
	m->n_unset += n_unset + 1;
	*step = (struct change_step){.op = CHANGE_REPLACE,
		.plugin = keep(m, i->name), /* by then that instance may have gone */
		.config = {n, pairs},
		.unset = unset,
		.in_place = true};
	return step->plugin ? 1 : change_fail(&m->change, -ENOMEM, "out of memory");
}

static int read_steps(struct merge *m, const struct record *r, const json_t *config)
{
	const char *key;
	json_t *v;

	if (!json_object_size(config) || json_object_size(config) > KEYS_MAX)
		return change_fail(&m->change, -EINVAL, "config: expected 1 to %d keys", KEYS_MAX);
	json_object_foreach((json_t *)config, key, v)
	{
		if (!owner(r, key))
			return change_fail(&m->change, -ENOENT,
				"config.%.64s: expected NAME.KEY with a name that 'chain show' "
				"lists",
				key);
	}
	for (uint32_t i = 0; i < r->n; i++) {
		int rc = read_step(m, r, r->declared[i], config, &m->steps[m->change.n_steps]);

		if (rc < 0)
			return rc;
		m->change.n_steps += (uint32_t)rc;
	}
	return 0;
}

static void merge_done(struct change *change, int error)
{
	struct merge *m = container_of(change, struct merge, change);
	struct stack *s = change->stack;

	if (error) {
		stack_log(s, TELA_LOG_INFO, "merge refused: %s", change->error);
		request_fail(m->request, error, "%s", change->error);
	} else {
		part_answer(change, m->request,
			json_pack("{s:s,s:I,s:i,s:o}", "service", s->name, "generation",
				(json_int_t)s->current->generation, "changed", (int)change->n_steps,
				"config", tree_of(s->current)));
	}
	while (m->n_texts)
		free(m->texts[--m->n_texts]);
	free(m);
}

void cmd_config_merge(struct control *c, struct request *r)
{
	struct stack *s = command_service(c, r);
	const struct record *now;
	struct merge *m;
	int rc;

	if (!s)
		return;
	now = s->staged ? s->staged : s->current;
	if (c->draining || !now || !now->n) {
		request_fail(r, -ENOTCONN, "service %s is %s: nothing is changed", s->name,
			c->draining ? "draining" : running_name(s->status));
		return;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		request_fail(r, -ENOMEM, "out of memory");
		return;
	}
	m->request = r;
	m->change.stack = s;
	m->change.steps = m->steps;
	m->change.done = merge_done;
	rc = read_steps(m, now, json_object_get(request_arguments(r), "config"));
	if (rc || !m->change.n_steps)
		merge_done(&m->change, rc);
	else
		change_submit(&m->change);
}
