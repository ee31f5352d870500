/* arrange.c - the list of plugins that a change leads to, and its order. No hook has run yet:
 * everything that can be refused without running foreign code is refused here. */
#include "change.h"

#include "keys.h"

#include "../dataplane/tela_discovery.h"

/* The list being made. Entry 0 is the service. */
struct draft {
	struct change *c;
	struct stack *s;
	struct tela_instance *list[ORDER_MAX + 1];
	uint32_t n;
	const char *removed[ORDER_MAX];
	uint32_t n_removed;
};

static int find(const struct draft *d, const char *name)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (!strcmp(d->list[i]->name, name))
			return (int)i;
	return -1;
}

static int no_such(const struct draft *d, const char *name)
{
	char names[384] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < d->n && n < sizeof(names); i++)
		n += snprintf(
			names + n, sizeof(names) - n, "%s%s", i ? ", " : "", d->list[i]->name);
	return change_fail(
		d->c, -ENOENT, "service %s has no '%s'; it has %s", d->s->name, name, names);
}

static int unknown_plugin(const struct draft *d, const char *name)
{
	char names[384] = "";
	size_t n = 0;

	for (struct plugin *p = registry_first(d->s->control->registry); p && n < sizeof(names);
		p = p->next)
		if (p->state != PLUGIN_UNLOADING)
			n += snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", p->name);
	return change_fail(d->c, -ENOENT,
		"no plugin is named '%s'; there are %s; give object=PATH to load one", name,
		n ? names : "none");
}

static int check_new(
	const struct draft *d, const struct plugin *p, const struct tela_plugin_config *config)
{
	struct change *c = d->c;
	int rc = plugin_check_schema(p->desc, d->s->desc, c->error, sizeof(c->error));
	void *values;

	if (!rc)
		rc = plugin_read_config(p->desc, config, &values, c->error, sizeof(c->error));
	if (!rc)
		free(values);
	return rc;
}

/* What the change owns from now on; NULL: no memory. */
static int keep(struct draft *d, struct tela_instance *i)
{
	struct change *c = d->c;

	if (!i)
		return change_fail(c, -ENOMEM, "out of memory");
	c->created[c->n_created++] = i;
	return 0;
}

/* A new instance at `at`; what stood there moves down. */
static int insert(struct draft *d, uint32_t at, struct plugin *p, const char *name,
	const struct tela_plugin_config *config)
{
	struct change *c = d->c;
	struct tela_instance *i;
	int rc = check_new(d, p, config);

	if (rc)
		return rc;
	if (d->n == ORDER_MAX || c->n_created == ORDER_MAX)
		return change_fail(c, -E2BIG, "more than %d plugins in one service", ORDER_MAX);
	i = instance_create(d->s, p, name, config);
	rc = keep(d, i);
	if (rc)
		return rc;
	memmove(&d->list[at + 1], &d->list[at], (d->n - at) * sizeof(d->list[0]));
	d->list[at] = i;
	d->n++;
	return 0;
}

static bool is_valid_name(const char *s)
{
	size_t n = strlen(s);

	return n && n <= TELA_NAME_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

/* ---- steps ---- */

static int not_added(const struct draft *d, const struct plugin *p)
{
	const char *name = p->desc->serves->name;

	if (errno == E2BIG)
		return change_fail(d->c, -E2BIG,
			"this node has all services that it may have (256, its own among them): %s "
			"(%s) is not added",
			d->s->name, name);
	if (errno == EEXIST)
		return change_fail(d->c, -EEXIST,
			"another service of this node serves %s: %s is not added", name,
			d->s->name);
	return change_fail(d->c, -errno, "service %s (%s) cannot be added: %s", d->s->name, name,
		strerror(errno));
}

/* The first step of a service that does not run yet: its own plugin, and with it the service
 * itself. */
static int add_service(struct draft *d, const struct change_step *step, struct plugin *p)
{
	struct stack *s = d->s;

	if (!p->desc->serves)
		return change_fail(d->c, -EINVAL,
			"plugin %s serves nothing: it can only stand in a service's list", p->name);
	if (!s->service) {
		s->service = tela_service_add(s->control->node, p->desc->serves);
		if (!s->service)
			return not_added(d, p);
		s->desc = p->desc->serves;
		tela_service_shed(
			s->service, s->conf->shed ? s->conf->shed_target_us : TELA_SHED_NEVER);
		stack_log_level(s);
		if (!s->conf->global)
			tela_service_keep_local(s->service);
		s->serves = p;
		plugin_serve(p);
	}
	return insert(d, 0, p, s->name, &step->config);
}

static int place_of(struct draft *d, const struct change_step *step, uint32_t *ret)
{
	const char *name = step->before ? step->before : step->after;
	int at;

	*ret = d->n;
	if (step->before && step->after)
		return change_fail(d->c, -EINVAL, "give before= or after=, not both");
	if (!name)
		return 0;
	at = find(d, name);
	if (at < 0)
		return no_such(d, name);
	*ret = (uint32_t)at + (step->before ? 0 : 1);
	if (*ret == 0)
		return change_fail(d->c, -EINVAL,
			"nothing stands before the service itself unless its plugin says that it "
			"wraps it");
	return 0;
}

/* One that is only there because another needs it gives way to one that the operator lists. */
static void make_room(struct draft *d, const char *name)
{
	int at = find(d, name);

	if (at > 0 && d->list[at]->automatic) {
		memmove(&d->list[at], &d->list[at + 1], (d->n - at - 1) * sizeof(d->list[0]));
		d->n--;
	}
}

static int step_add(struct draft *d, const struct change_step *step)
{
	const char *name = step->as ? step->as : step->plugin;
	struct plugin *p = step->from;
	uint32_t at;
	int rc;

	if (!p)
		p = registry_find(d->s->control->registry, step->plugin);
	if (!p)
		return unknown_plugin(d, step->plugin);
	if (strcmp(p->name, step->plugin))
		return change_fail(d->c, -EINVAL, "%s holds plugin %s, not %s", p->path, p->name,
			step->plugin);
	if (!d->n)
		return add_service(d, step, p);
	if (!is_valid_name(name))
		return change_fail(d->c, -EINVAL,
			"'%.64s' is no name: letters, digits, '_', '.' and '-', at most 63", name);
	make_room(d, name);
	if (find(d, name) >= 0)
		return change_fail(d->c, -EEXIST,
			"service %s already has '%s'; name this one with as=", d->s->name, name);
	rc = place_of(d, step, &at);
	return rc ? rc : insert(d, at, p, name, &step->config);
}

static int step_remove(struct draft *d, const struct change_step *step)
{
	int at = find(d, step->plugin);

	if (at < 0)
		return no_such(d, step->plugin);
	if (at == 0)
		return change_fail(d->c, -EINVAL,
			"'%s' is the service itself: pause, deactivate or remove it as one",
			step->plugin);
	d->removed[d->n_removed++] = d->list[at]->plugin->name;
	memmove(&d->list[at], &d->list[at + 1], (d->n - at - 1) * sizeof(d->list[0]));
	d->n--;
	return 0;
}

/* For its config_merge hook. */
static int plan_merge(
	struct tela_instance *i, struct tela_instance *old, const struct change_step *step)
{
	static const struct tela_plugin_config none;

	if (!i->plugin->desc->config_merge || (!step->config.n && (!step->unset || !*step->unset)))
		return 0;
	i->base = config_merge(&old->given, &none, NULL);
	i->update = config_update(&step->config, step->unset);
	return i->base && i->update ? 0 : -ENOMEM;
}

static int succeed(struct draft *d, int at, const struct change_step *step, struct plugin *p,
	const struct tela_plugin_config *given)
{
	struct tela_instance *old = d->list[at], *i;
	struct change *c = d->c;
	int rc = check_new(d, p, given);

	if (rc)
		return rc;
	if (c->n_created == ORDER_MAX)
		return change_fail(c, -E2BIG, "more than %d plugins in one change", ORDER_MAX);
	i = instance_succeed(old, p, given, !step->in_place);
	rc = keep(d, i);
	if (rc)
		return rc;
	i->automatic = false; /* somebody speaks of it by its name */
	d->list[at] = i;
	return plan_merge(i, old, step) ? change_fail(c, -ENOMEM, "out of memory") : 0;
}

static int step_replace(struct draft *d, const struct change_step *step)
{
	int at = find(d, step->plugin), rc;
	struct tela_plugin_config *config;
	struct tela_instance *old;
	struct plugin *p;

	if (at < 0)
		return no_such(d, step->plugin);
	old = d->list[at];
	p = step->from ? step->from : old->plugin;
	if (strcmp(p->name, old->plugin->name))
		return change_fail(d->c, -EINVAL, "%s holds plugin %s, but '%s' is %s", p->path,
			p->name, old->name, old->plugin->name);
	if (at == 0 && !p->desc->serves)
		return change_fail(d->c, -EINVAL, "%s serves nothing", p->path);
	for (const char *const *u = step->unset; u && *u; u++)
		if (!keys_know(p->desc, *u))
			return change_fail(d->c, -EINVAL,
				"%s: config.%.64s: unknown key, nothing to take out", p->name, *u);
	config = config_merge(&old->given, &step->config, step->unset);
	if (!config)
		return change_fail(d->c, -ENOMEM, "out of memory");
	rc = succeed(d, at, step, p, config);
	free(config);
	return rc;
}

static int apply(struct draft *d)
{
	for (uint32_t i = 0; i < d->c->n_steps; i++) {
		const struct change_step *step = &d->c->steps[i];
		bool failed = d->s->status == TELA_SERVICE_FAILED && d->s->last_error[0];
		int rc = 0;

		d->c->line = step->line;
		if (!d->n && !d->c->starts)
			return change_fail(d->c, -ENOTCONN,
				"service %s is not running: it is %s%s%s", d->s->name,
				running_name(d->s->status), failed ? ": " : "",
				failed ? d->s->last_error : "");
		switch (step->op) {
		case CHANGE_ADD:
			rc = step_add(d, step);
			break;
		case CHANGE_REMOVE:
			rc = step_remove(d, step);
			break;
		case CHANGE_REPLACE:
			rc = step_replace(d, step);
			break;
		}
		if (rc)
			return rc;
	}
	d->c->line = 0;
	return 0;
}

/* ---- order ---- */

static void describe(const struct draft *d, struct order_item *items)
{
	for (uint32_t i = 0; i < d->n; i++) {
		const struct tela_plugin *desc = d->list[i]->plugin->desc;

		items[i] = (struct order_item){
			.name = d->list[i]->name,
			.plugin = d->list[i]->plugin->name,
			.also = i ? NULL : d->s->desc->name,
			.needs = desc->needs,
			.wraps = desc->wraps,
			.may_need = desc->may_need,
			.may_wrap = desc->may_wrap,
			.group = desc->group,
		};
	}
}

/* What a plugin needs and nobody listed is taken along, above the one that asks for it; the service
 * itself stays the first. */
static int add_missing(struct draft *d, const struct record *before, struct order_item *items)
{
	static const struct tela_plugin_config none;
	const char *name;
	uint32_t who;

	while (describe(d, items), (name = order_missing(items, d->n, &who))) {
		struct plugin *p = registry_find(d->s->control->registry, name);
		uint32_t at = who ? who : 1;
		int rc;

		for (uint32_t i = 0; i < d->n_removed; i++)
			if (!strcmp(d->removed[i], name))
				return change_fail(d->c, -EBUSY,
					"'%s' cannot go: %s needs it; remove that first", name,
					items[who].name);
		if (!p)
			return change_fail(d->c, -ENOENT,
				"%s needs or wraps '%s', and no plugin is named so: load it first",
				items[who].name, name);
		for (uint32_t i = 0; before && i < before->n; i++)
			if (before->declared[i]->automatic &&
				!strcmp(before->declared[i]->plugin->name, name)) {
				if (d->n == ORDER_MAX)
					return change_fail(d->c, -E2BIG,
						"more than %d plugins in one service", ORDER_MAX);
				memmove(&d->list[at + 1], &d->list[at],
					(d->n - at) * sizeof(d->list[0]));
				d->list[at] = before->declared[i];
				d->n++;
				p = NULL;
				break;
			}
		if (!p)
			continue;
		rc = insert(d, at, p, name, &none);
		if (rc)
			return rc;
		d->list[at]->automatic = true;
	}
	return 0;
}

static uint32_t position(const struct draft *d, const struct record *r, const char *name)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (!strcmp(d->list[r->call[i]]->name, name))
			return i;
	return r->n;
}

/* before= and after= only break ties; where a declared relation says the contrary, that is said
 * rather than ignored. */
static int check_places(struct draft *d, const struct record *r)
{
	for (uint32_t i = 0; i < d->c->n_steps; i++) {
		const struct change_step *step = &d->c->steps[i];
		const char *name = step->as ? step->as : step->plugin;
		const char *other = step->before ? step->before : step->after;

		if (step->op != CHANGE_ADD || !other)
			continue;
		if ((position(d, r, name) < position(d, r, other)) != (step->before != NULL))
			return change_fail(d->c, -EINVAL,
				"'%s' cannot stand %s '%s': what they need and wrap puts them the "
				"other way round",
				name, step->before ? "before" : "after", other);
	}
	return 0;
}

static void start_draft(struct draft *d, struct change *c, const struct record *before)
{
	d->c = c;
	d->s = c->stack;
	d->n = d->n_removed = 0;
	for (uint32_t i = 0; before && i < before->n; i++)
		d->list[d->n++] = before->declared[i];
}

/* Those taken along come back by themselves if they are still needed. */
static void drop_automatic(struct draft *d)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < d->n; i++)
		if (!d->list[i]->automatic || d->list[i]->state == INSTANCE_NEW)
			d->list[n++] = d->list[i];
	d->n = n;
}

int change_arrange(struct change *c, int unused)
{
	const struct record *before = c->stack->staged ? c->stack->staged : c->stack->current;
	struct order_item items[ORDER_MAX + 1];
	struct draft d;
	struct record *r;
	int rc;

	(void)unused;
	start_draft(&d, c, before);
	rc = apply(&d);
	if (rc)
		return rc;
	drop_automatic(&d);
	rc = d.n ? add_missing(&d, before, items) : 0;
	if (rc)
		return rc;
	r = record_create(c->stack, d.list, d.n);
	if (!r)
		return change_fail(c, -ENOMEM, "out of memory");
	/* The order of going, should it go before it is solved. */
	for (uint32_t i = 0; i < d.n; i++)
		r->call[i] = r->start[i] = i;
	c->next_record = r;
	rc = d.n ? order_solve(items, d.n, r->call, r->start, c->error, sizeof(c->error)) : 0;
	if (rc)
		for (uint32_t i = 0; i < d.n; i++)
			r->call[i] = r->start[i] = i;
	return rc ? rc : check_places(&d, r);
}
