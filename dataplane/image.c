#include "image.h"

#include "callback.h"
#include "say.h"
#include "status.h"

/* FNV-1a: names are short and looked up only until a service is bound. */
static uint32_t name_hash(const char *s, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)s[i]) * 16777619u;
	return h;
}

struct service_table *service_table_build(struct tela_service *const *services, uint32_t n)
{
	uint32_t places = 16;
	struct service_table *t;
	struct tela_service **slot;

	while (places < 2 * n)
		places *= 2;
	t = calloc(1, sizeof(*t) + places * sizeof(*slot));
	if (!t)
		return NULL;
	slot = (struct tela_service **)(t + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct tela_service *s = services[i];
		uint32_t at;

		if (!s)
			continue;
		at = name_hash(s->desc->name, s->name_len) & (places - 1);
		while (slot[at])
			at = (at + 1) & (places - 1);
		slot[at] = s;
		t->n++;
	}
	t->mask = places - 1;
	t->by_hash = slot;
	return t;
}

void service_table_free(struct service_table *t)
{
	free(t);
}

struct tela_service *service_table_find(const struct service_table *t, const char *name, size_t len)
{
	/* Ends at the latest after mask + 1 places: at least half of them are empty. */
	for (uint32_t at = name_hash(name, len) & t->mask;; at = (at + 1) & t->mask) {
		struct tela_service *s = t->by_hash[at];

		if (!s || (s->name_len == len && !memcmp(s->desc->name, name, len)))
			return s;
	}
}

bool service_accepts(const struct tela_service_desc *d, uint64_t schema)
{
	if (d->schema == schema)
		return true;
	for (uint32_t i = 0; i < d->n_compatible; i++)
		if (d->compatible[i] == schema)
			return true;
	return false;
}

struct tela_service *service_create(
	struct tela_node *n, const struct tela_service_desc *desc, uint32_t index)
{
	struct tela_service *s = aligned_alloc(CACHE_LINE, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->desc = desc;
	s->node = n;
	s->index = index;
	atomic_init(&s->shed_ns, UINT64_MAX);
	atomic_init(&s->log_level, TELA_LOG_INFO);
	s->name_len = (uint32_t)strlen(desc->name);
	return s;
}

static const struct tela_service_desc gone_desc = {.name = ""};

struct tela_service service_gone = {.desc = &gone_desc, .shed_ns = UINT64_MAX};

/* For want of memory. */
static char refusal_unsaid[] = "paused";

char *service_refusal(const char *reason)
{
	char *text = strdup(reason);

	return text ? text : refusal_unsaid;
}

void service_refusal_free(char *text)
{
	if (text != refusal_unsaid)
		free(text);
}

void service_free(struct tela_service *s)
{
	if (!s)
		return;
	service_refusal_free(atomic_load(&s->refusal));
	free(s);
}

uint32_t image_pins(const struct tela_image *i)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < i->n_cores; c++)
		n += atomic_load_explicit(&i->core[c].pins, memory_order_acquire);
	return n;
}

uint64_t tela_image_calls(const struct tela_image *i)
{
	uint64_t n = 0;

	for (uint32_t c = 0; c < i->n_cores; c++)
		n += atomic_load_explicit(&i->core[c].calls, memory_order_relaxed);
	return n;
}

uint64_t tela_image_generation(const struct tela_image *i)
{
	return i->generation;
}

void tela_image_free(struct tela_image *i)
{
	if (i)
		free(i->extra);
	free(i);
}

/* ---- build ---- */

static bool is_status(const struct tela_link *l)
{
	return l->callback && !strcmp(l->callback, TELA_STATUS);
}

static bool is_out(const struct tela_link *l)
{
	return l->callback && !strcmp(l->callback, TELA_REQUEST_OUT);
}

static bool in_all_chains(const struct tela_link *l)
{
	return l->callback && !is_status(l) && !is_out(l);
}

static const struct tela_method_desc *find_method(const struct tela_service_desc *d, uint16_t id)
{
	for (uint32_t i = 0; i < d->n_methods; i++)
		if (d->methods[i].id == id)
			return &d->methods[i];
	return NULL;
}

/* Method `l` of the service by the plugin's schema, where the service's own does not have it. */
static const struct tela_method_desc *added_method(
	const struct tela_service_desc *d, const struct tela_link *l)
{
	if (l->own || l->callback || !l->service || strcmp(l->service->name, d->name) ||
		find_method(d, l->method))
		return NULL;
	return find_method(l->service, l->method);
}

/* A method that a plugin adds has a name and a number that stand for nothing else here. */
static int check_added(const struct tela_service_desc *d, const struct tela_image_link *links,
	uint32_t at, char *err, size_t err_len)
{
	const struct tela_image_link *il = &links[at];
	const struct tela_method_desc *m = added_method(d, il->link);

	for (uint32_t i = 0; m && i < d->n_methods; i++)
		if (!strcmp(d->methods[i].name, m->name))
			return say(err, err_len, -EINVAL,
				"plugin %s defines method %s of %s as number %u, which the service "
				"has as %u",
				il->plugin, m->name, d->name, m->id, d->methods[i].id);
	for (uint32_t i = 0; m && i < at; i++) {
		const struct tela_method_desc *other = added_method(d, links[i].link);

		if (other && (other->id == m->id) != !strcmp(other->name, m->name))
			return say(err, err_len, -EINVAL,
				"plugins %s and %s both define a method of %s: %s as number %u, %s "
				"as number %u",
				links[i].plugin, il->plugin, d->name, other->name, other->id,
				m->name, m->id);
		if (other && other->id == m->id &&
			!service_accepts(links[i].link->service, il->link->service->schema) &&
			!service_accepts(il->link->service, links[i].link->service->schema))
			return say(err, err_len, -EINVAL,
				"plugins %s and %s both define method %s of %s, by schemas that do "
				"not agree",
				links[i].plugin, il->plugin, m->name, d->name);
	}
	return 0;
}

static int check_link(const struct tela_service_desc *d, const struct tela_image_link *links,
	uint32_t at, char *err, size_t err_len)
{
	const struct tela_image_link *il = &links[at];
	const struct tela_link *l = il->link;

	if (l->own)
		return callback_check(links, at, err, err_len);
	if (is_status(l))
		return status_check(il->plugin, l, err, err_len);
	if (!l->enter && !l->leave)
		return say(err, err_len, -EINVAL, "plugin %s: a link with neither enter nor leave",
			il->plugin);
	if (is_out(l)) {
		if (!l->enter || l->leave || l->blocking)
			return say(err, err_len, -EINVAL,
				"plugin %s: a link of request_out has an enter hook, no leave "
				"hook, "
				"and does not block",
				il->plugin);
		return 0;
	}
	if (l->callback) {
		if (strcmp(l->callback, TELA_REQUEST_IN))
			return say(err, err_len, -EINVAL, "plugin %s: no callback is named \"%s\"",
				il->plugin, l->callback);
		return 0;
	}
	if (!l->service || strcmp(l->service->name, d->name))
		return 0; /* hooks another service: no part of this one's chains */
	if (!service_accepts(d, l->service->schema) && !service_accepts(l->service, d->schema))
		return say(err, err_len, -EINVAL,
			"plugin %s was built from another schema of %s (%016llx, the service has "
			"%016llx): rebuild it",
			il->plugin, d->name, (unsigned long long)l->service->schema,
			(unsigned long long)d->schema);
	if (!find_method(d, l->method) && !added_method(d, l))
		return say(err, err_len, -EINVAL, "plugin %s: service %s has no method %u",
			il->plugin, d->name, l->method);
	return check_added(d, links, at, err, err_len);
}

/* Is `l` part of the chain of method `m`? request_in links come in the first round, the method's
 * own in the second. */
static bool belongs(
	const struct tela_service_desc *d, const struct tela_link *l, uint16_t method, int round)
{
	if (in_all_chains(l))
		return round == 0;
	return round == 1 && l->service && !strcmp(l->service->name, d->name) &&
	       l->method == method;
}

static enum tela_verdict enter_nothing(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

/* Room that `build` fills: one allocation for an image and all that it points to. */
struct layout {
	struct chain_link *link;
	struct chain_leave *leave;
};

static int count_statuses(
	const struct tela_image_link *links, uint32_t n_links, char *err, size_t err_len)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_links; i++) {
		n += is_status(links[i].link) ? links[i].link->n_statuses : 0;
		if (n > IMAGE_STATUSES_MAX)
			return say(err, err_len, -E2BIG,
				"plugin %s: more than %d statuses registered in one service",
				links[i].plugin, IMAGE_STATUSES_MAX);
	}
	return 0;
}

static void fill_statuses(
	struct tela_image *image, const struct tela_image_link *links, uint32_t n_links)
{
	for (uint32_t i = 0; i < n_links; i++) {
		const struct tela_link *l = links[i].link;

		if (!is_status(l))
			continue;
		if (l->n_statuses)
			image->statuses[image->n_statuses++] = l;
		if (l->status)
			image->status_hooks[image->n_status_hooks++] =
				(struct image_status_hook){l->status, links[i].self};
	}
}

/* A link that only leaves is entered by enter_nothing, so that a walk needs no test for it. */
static void fill_chain(struct chain *c, struct layout *at, const struct tela_service_desc *d,
	const struct tela_image_link *links, uint32_t n_links)
{
	c->links = at->link;
	c->leaves = at->leave;
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < n_links; i++) {
			const struct tela_link *l = links[i].link;

			if (!belongs(d, l, c->method->id, round))
				continue;
			if (l->leave)
				*at->leave++ =
					(struct chain_leave){l->leave, links[i].self, c->n_links},
				c->n_leaves++;
			*at->link++ = (struct chain_link){
				l->enter ? l->enter : enter_nothing, links[i].self};
			c->n_links++;
		}
	}
}

static int check_links(const struct tela_service_desc *d, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len)
{
	int rc = 0;

	if (n_links > IMAGE_LINKS_MAX)
		return say(
			err, err_len, -E2BIG, "more than %d links in one service", IMAGE_LINKS_MAX);
	for (uint32_t i = 0; i < n_links && !rc; i++)
		rc = check_link(d, links, i, err, err_len);
	return rc ? rc : count_statuses(links, n_links, err, err_len);
}

/* The method that link `at` is the first to add, or NULL. */
static const struct tela_method_desc *first_added(
	const struct tela_service_desc *d, const struct tela_image_link *links, uint32_t at)
{
	const struct tela_method_desc *m = added_method(d, links[at].link), *other;

	for (uint32_t i = 0; m && i < at; i++) {
		other = added_method(d, links[i].link);
		if (other && other->id == m->id)
			return NULL;
	}
	return m;
}

static void add_chain(struct tela_image *image, const struct tela_method_desc *m, struct layout *at,
	const struct tela_image_link *links, uint32_t n_links)
{
	struct chain *c = &image->chains[image->n_chains++];

	c->method = m;
	c->key = CHAIN_KEY(image->service->index, m->id);
	fill_chain(c, at, image->service->desc, links, n_links);
	image->by_method[m->id] = c;
}

struct tela_image *image_build(struct tela_service *s, uint32_t n_cores,
	const struct tela_image_link *links, uint32_t n_links, char *err, size_t err_len)
{
	const struct tela_service_desc *d = s->desc;
	uint32_t max_method = 0, n_methods = d->n_methods;
	const struct tela_method_desc *m;
	struct tela_image *image;
	struct layout at;
	size_t size, n;

	if (check_links(d, links, n_links, err, err_len))
		return NULL;
	for (uint32_t i = 0; i < d->n_methods; i++)
		max_method = (uint32_t)max_u64(max_method, d->methods[i].id);
	for (uint32_t i = 0; i < n_links; i++) {
		m = first_added(d, links, i);
		n_methods += m != NULL;
		max_method = (uint32_t)max_u64(max_method, m ? m->id : 0);
	}
	n = (size_t)n_methods * n_links;
	size = sizeof(*image) + CACHE_LINE + n_cores * sizeof(struct image_core) +
	       (max_method + 1) * sizeof(void *) + n_methods * sizeof(struct chain) +
	       n * (sizeof(struct chain_link) + sizeof(struct chain_leave)) +
	       n_links * (sizeof(*image->statuses) + sizeof(*image->status_hooks) +
				 sizeof(*image->out)) +
	       callback_room(n_links);
	image = calloc(1, size);
	if (!image) {
		say(err, err_len, 0, "out of memory for an image of %zu bytes", size);
		return NULL;
	}
	image->core =
		(void *)(((uintptr_t)(image + 1) + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1));
	image->by_method = (void *)(image->core + n_cores);
	image->chains = (void *)(image->by_method + max_method + 1);
	at.link = (void *)(image->chains + n_methods);
	at.leave = (void *)(at.link + n);
	image->statuses = (void *)(at.leave + n);
	image->status_hooks = (void *)(image->statuses + n_links);
	image->out = (void *)(image->status_hooks + n_links);
	fill_statuses(image, links, n_links);
	for (uint32_t i = 0; i < n_links; i++)
		if (is_out(links[i].link))
			image->out[image->n_out++] =
				(struct chain_link){links[i].link->enter, links[i].self};
	callback_fill(image, links, n_links, image->out + n_links);
	image->service = s;
	image->max_method = max_method;
	image->n_cores = n_cores;
	for (uint32_t i = 0; i < d->n_methods; i++)
		add_chain(image, &d->methods[i], &at, links, n_links);
	for (uint32_t i = 0; i < n_links; i++)
		if ((m = first_added(d, links, i)))
			add_chain(image, m, &at, links, n_links);
	return image;
}
