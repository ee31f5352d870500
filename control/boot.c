#include "boot.h"

#include "keys.h"

#include "order.h"

#include <stdarg.h>

/* ---- check ---- */

struct check {
	const struct conf *conf;
	struct registry *registry;
	bool objects;
	conf_report_fn report;
	void *arg;
	uint32_t n_errors;
};

static void complain(struct check *c, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void complain(struct check *c, uint32_t line, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n = conf_where(c->conf, line, text, sizeof(text));

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	c->report(c->arg, text);
	c->n_errors++;
}

/* The plugin, or NULL: reported, or not to be known without loading. */
static struct plugin *find_plugin(
	struct check *c, uint32_t line, const char *path, const char *name, const char *key)
{
	struct plugin *p;
	char err[512];

	if (path && !c->objects)
		return NULL;
	p = path ? registry_find_object(c->registry, path) : registry_find(c->registry, name);
	if (!p && path) {
		if (plugin_open(path, &p, err, sizeof(err))) {
			complain(c, line, "%s.object: %s", key, err);
			return NULL;
		}
		registry_add(c->registry, p);
	}
	if (!p)
		complain(c, line,
			"%s: no plugin named '%s' is linked in; name its shared object with "
			"'object:'",
			key, name);
	if (!p || !strcmp(p->name, name))
		return p;
	complain(c, line, "%s.object: %s holds plugin %s, not %s", key, path, p->name, name);
	return NULL;
}

/* Where a plugin's configuration stands. */
struct place {
	struct check *check;
	const char *key; /* "services[0].plugins[1]" */
	uint32_t line;
	const struct conf_free *config;
};

static void complain_of_key(void *arg, uint32_t pair, const char *path, const char *what)
{
	const struct place *at = arg;

	complain(at->check, pair == UINT32_MAX ? at->line : at->config->lines[pair],
		"%s.config.%s: %s", at->key, path, what);
}

static void check_config(struct place *at, const struct plugin *p)
{
	void *values;
	int rc = keys_read(p->desc, &at->config->pairs, &values, complain_of_key, at);

	if (rc == -ENOMEM) {
		at->check->report(at->check->arg, conf_no_memory);
		at->check->n_errors++;
	}
	if (!rc)
		free(values);
}

static void check_fit(struct check *c, uint32_t line, const char *key, const struct plugin *p,
	const struct tela_service_desc *service, const struct conf_free *config)
{
	struct place at = {c, key, line, config};
	char err[512];

	if (plugin_check_schema(p->desc, service, err, sizeof(err)))
		complain(c, line, "%s: %s", key, err);
	check_config(&at, p);
}

static struct order_item item_of(const char *name, const struct plugin *p)
{
	return (struct order_item){.name = name,
		.plugin = p->name,
		.needs = p->desc->needs,
		.wraps = p->desc->wraps,
		.may_need = p->desc->may_need,
		.may_wrap = p->desc->may_wrap,
		.group = p->desc->group};
}

/* A plugin that nobody lists has its defaults, if that will do. */
static void check_taken_along(
	struct check *c, const struct conf_service *s, const struct plugin *p, const char *who)
{
	static const struct conf_free none;
	char key[224];
	struct place at = {c, key, s->line, &none};

	snprintf(key, sizeof(key), "services.%.63s: %.63s needs %.63s", s->name, who, p->name);
	check_config(&at, p);
}

static void check_order(
	struct check *c, const struct conf_service *s, struct order_item *items, uint32_t n)
{
	uint32_t call[ORDER_MAX], start[ORDER_MAX], who;
	const char *name;
	char err[512];

	while (n < ORDER_MAX && (name = order_missing(items, n, &who))) {
		struct plugin *p = registry_find(c->registry, name);

		if (!p)
			break; /* order_solve says it */
		check_taken_along(c, s, p, items[who].name);
		items[n++] = item_of(p->name, p);
	}
	if (order_solve(items, n, call, start, err, sizeof(err)))
		complain(c, s->line, "services.%s: %s", s->name, err);
}

/* As the path of an error has it: of service `index`, or of one in its list. */
static void key_of(const struct check *c, uint32_t index, int plugin, char ret[64])
{
	int n = c->conf->alone ? 0 : snprintf(ret, 64, "services[%u]", index);

	if (plugin >= 0)
		snprintf(ret + n, 64 - (size_t)n, "%splugins[%d]", n ? "." : "", plugin);
	else if (!n)
		snprintf(ret, 64, "service");
}

static void check_service(struct check *c, const struct conf_service *s, uint32_t index)
{
	struct order_item items[ORDER_MAX];
	uint32_t n = 1;
	struct plugin *p, *own;
	char key[64], err[256];
	bool all;

	key_of(c, index, -1, key);
	own = find_plugin(c, s->line, s->object, s->name, key);
	if (own && !own->desc->serves) {
		complain(c, s->line,
			"%s: plugin %s serves nothing: it can only stand in a service's list", key,
			own->name);
		own = NULL;
	}
	all = own != NULL;
	if (own) {
		check_fit(c, s->line, key, own, own->desc->serves, &s->config);
		if (stack_check_blocking(own->desc->serves, s->blocking, err, sizeof(err)))
			complain(c, s->line, "%s.%s", key, err);
		if (s->blocking && !c->conf->node.n_workers)
			complain(c, s->line,
				"%s.blocking: the node has no workers: set node.workers", key);
		items[0] = item_of(s->name, own);
		items[0].also = own->desc->serves->name;
	}
	for (uint32_t i = 0; i < s->n_plugins; i++) {
		const struct conf_plugin *q = &s->plugins[i];

		key_of(c, index, (int)i, key);
		p = find_plugin(c, q->line, q->object, q->plugin, key);
		all = all && p;
		if (p && own)
			check_fit(c, q->line, key, p, own->desc->serves, &q->config);
		if (p)
			items[n++] = item_of(q->as ? q->as : q->plugin, p);
	}
	if (all)
		check_order(c, s, items, n);
}

uint32_t boot_check(
	const struct conf *conf, struct registry *r, bool objects, conf_report_fn report, void *arg)
{
	struct check c = {conf, r, objects, report, arg, 0};

	for (uint32_t i = 0; i < conf->n_services; i++)
		check_service(&c, &conf->services[i], i);
	return c.n_errors;
}
