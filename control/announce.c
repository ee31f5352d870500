#include "announce.h"

#include "discovery.h"
#include "log.h"

#include "../dataplane/tela_discovery.h"

#include <node_rpc.h>

enum { ADDED_MAX = 64 }; /* of one service */

struct said {
	uint8_t beat[64];
	uint32_t beat_len;
	size_t len;
	uint8_t bytes[];
};

struct announce {
	struct control *control;
	struct tela_service *service;
	struct said *said;
	uint64_t print; /* of what was said */
	uint64_t version;
};

/* ---- on data cores ---- */

static enum tela_verdict beat(struct tela_call *call, void *self)
{
	const struct said *s = self;

	return tela_reply_copy(call, s->beat, s->beat_len);
}

static enum tela_verdict announcement(struct tela_call *call, void *self)
{
	const struct said *s = self;

	return tela_reply_copy(call, s->bytes, s->len);
}

static const struct tela_link links[] = {
	{.service = &tela_node_Node_service, .method = tela_node_Node_beat_ID, .enter = beat},
	{.service = &tela_node_Node_service,
		.method = tela_node_Node_announcement_ID,
		.enter = announcement},
};

/* ---- what there is to say ---- */

static bool is_announced(const struct stack *s)
{
	return s->desc && s->conf->global && strncmp(s->desc->name, "tela.", 5);
}

static bool serves(const struct stack *s)
{
	return s->status == TELA_SERVICE_RUNNING && s->ready && s->drain == DRAIN_NONE;
}

static const char *version_of(const struct stack *s)
{
	return s->current && s->current->n ? s->current->declared[0]->plugin->version : "";
}

static uint64_t mix(uint64_t print, uint64_t word)
{
	return (print ^ word) * 1099511628211ull;
}

static uint32_t added_to(const struct stack *s, const struct tela_method_desc *ret[ADDED_MAX])
{
	return s->service ? tela_service_added(s->service, ret, ADDED_MAX) : 0;
}

static uint64_t mix_added(uint64_t print, const struct stack *s)
{
	const struct tela_method_desc *added[ADDED_MAX];
	uint32_t n = min_u32(added_to(s, added), ADDED_MAX);

	for (uint32_t i = 0; i < n; i++) {
		print = mix(print, added[i]->id);
		for (const char *c = added[i]->name; *c; c++)
			print = mix(print, (uint8_t)*c);
	}
	return print;
}

/* Another one when something has changed. */
static uint64_t fingerprint(const struct control *c)
{
	uint64_t print = 14695981039346656037ull;

	for (const struct stack *s = c->stacks; s; s = s->next) {
		if (!is_announced(s))
			continue;
		print = mix(print, s->desc->schema);
		print = mix(print, (uint64_t)s->status << 1 | serves(s));
		print = mix(print, s->weight);
		for (const char *v = version_of(s); *v; v++)
			print = mix(print, (uint8_t)*v);
		print = mix_added(print, s);
	}
	return print;
}

static struct tela_str str(const char *s)
{
	return (struct tela_str){s, s ? strlen(s) : 0};
}

static struct tela_node_Method_args method_args(const struct tela_method_desc *m)
{
	return (struct tela_node_Method_args){
		.name = str(m->name), .id = m->id, .idempotent = m->flags & TELA_METHOD_IDEMPOTENT};
}

/* Those of its schema, and those that plugins have added. */
static uint32_t add_methods(const struct stack *s, struct tela_node_Method_args *to, uint32_t room)
{
	const struct tela_method_desc *added[ADDED_MAX];
	uint32_t n = min_u32(s->desc->n_methods, room);
	uint32_t n_added = min_u32(min_u32(added_to(s, added), ADDED_MAX), room - n);

	for (uint32_t i = 0; i < n; i++)
		to[i] = method_args(&s->desc->methods[i]);
	for (uint32_t i = 0; i < n_added; i++)
		to[n + i] = method_args(added[i]);
	return n + n_added;
}

/* Free it. NULL: no memory, or more than anybody takes. */
static struct said *say(const struct announce *a)
{
	const struct control *c = a->control;
	struct tela_node_Service_args *services = calloc(DISCOVERY_SERVICES_MAX, sizeof(*services));
	struct tela_node_Method_args *methods = calloc(DISCOVERY_METHODS_MAX, sizeof(*methods));
	struct tela_node_Announcement_args args = {.node = str(tela_node_name(c->node)),
		.zone = str(c->conf->zone),
		.incarnation = tela_node_incarnation(c->node),
		.version = a->version,
		.services = services};
	const struct tela_node_Beat_args beat_args = {args.incarnation, args.version};
	uint32_t n_methods = 0, n = 0;
	struct said *s = NULL;
	size_t len;

	for (const struct stack *i = c->stacks;
		services && methods && i && n < DISCOVERY_SERVICES_MAX; i = i->next) {
		if (!is_announced(i))
			continue;
		services[n] = (struct tela_node_Service_args){.name = str(i->desc->name),
			.version = str(version_of(i)),
			.schema = i->desc->schema,
			.compatible = i->desc->compatible,
			.compatible_len = i->desc->compatible ? i->desc->n_compatible : 0,
			.status = (uint8_t)i->status,
			.serves = serves(i),
			.weight = i->weight,
			.methods = &methods[n_methods]};
		services[n].methods_len =
			add_methods(i, &methods[n_methods], DISCOVERY_METHODS_MAX - n_methods);
		n_methods += services[n++].methods_len;
	}
	args.services_len = n;
	len = services && methods ? tela_node_Announcement_size(&args) : 0;
	if (len && len <= DISCOVERY_BYTES_MAX)
		s = malloc(sizeof(*s) + len);
	if (s) {
		s->len = (size_t)tela_node_Announcement_build(s->bytes, len, &args);
		s->beat_len = (uint32_t)tela_node_Beat_build(s->beat, sizeof(s->beat), &beat_args);
	}
	free(services);
	free(methods);
	return s;
}

static void forget(void *arg, uint64_t generation, uint64_t calls)
{
	(void)generation;
	(void)calls;
	free(arg);
}

static int publish(struct announce *a, struct said *s, char *err, size_t err_len)
{
	struct tela_image_link l[ARRAY_SIZE(links)];
	struct tela_image *image;

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		l[i] = (struct tela_image_link){&links[i], s, "node", false};
	image = tela_image_build(a->service, l, ARRAY_SIZE(links), err, err_len);
	if (!image)
		return -ENOMEM;
	tela_image_publish(a->service, image, forget, a->said);
	a->said = s;
	return 0;
}

const uint8_t *announce_look(struct announce *a, size_t *ret_len)
{
	uint64_t print = fingerprint(a->control);
	struct said *s;
	char err[256];

	if (print == a->print)
		return NULL;
	a->version++;
	s = say(a);
	if (!s || publish(a, s, err, sizeof(err))) {
		log_warn("discovery: what this node serves cannot be announced: no memory");
		free(s);
		return NULL;
	}
	a->print = print;
	*ret_len = s->len;
	return s->bytes;
}

void announce_again(struct announce *a)
{
	a->print = 0;
}

struct announce *announce_open(struct control *c, char *err, size_t err_len)
{
	struct announce *a = calloc(1, sizeof(*a));
	size_t unread;

	if (!a) {
		snprintf(err, err_len, "discovery: out of memory");
		return NULL;
	}
	a->control = c;
	a->service = tela_service_add(c->node, &tela_node_Node_service);
	if (a->service && announce_look(a, &unread))
		return a;
	snprintf(err, err_len, "the service %s cannot be made: %s", tela_node_Node_service.name,
		strerror(errno));
	free(a);
	return NULL;
}

void announce_close(struct announce *a)
{
	if (a)
		free(a->said);
	free(a);
}
