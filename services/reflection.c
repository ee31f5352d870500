/* reflection.c - what this node serves and by which schemas, for tools: nobody else needs it.
 *
 * Serves:  tela.reflection.Reflection: services (1), schema (2). A node has it unless its
 *          configuration says `reflection: false`.
 * Answers: NOT_FOUND for a service that is not there or shows no schema.
 */
#include "reflection_rpc.h"
#include "svc.h"

enum {
	SERVICES_MAX = 256, /* as a node takes */
	ADDED_MAX = 256,    /* methods that plugins have added, of all services */
};

static uint32_t all_services(
	const struct tela_call *call, const struct tela_service_desc *ret[SERVICES_MAX])
{
	uint32_t n = tela_core_services(tela_call_core(call), ret, SERVICES_MAX);

	return n < SERVICES_MAX ? n : SERVICES_MAX;
}

/* Returns how many of them there was room for. */
static uint32_t added_to(const struct tela_call *call, const char *service,
	struct tela_reflection_Method_args *to, uint32_t room)
{
	const struct tela_method_desc *m[ADDED_MAX];
	uint32_t n = min_u32(tela_core_added(tela_call_core(call), service, m, room), room);

	for (uint32_t i = 0; i < n; i++)
		to[i] = (struct tela_reflection_Method_args){
			.name = {m[i]->name, strlen(m[i]->name)},
			.id = m[i]->id,
			.idempotent = m[i]->flags & TELA_METHOD_IDEMPOTENT};
	return n;
}

static enum tela_verdict services(struct tela_call *call, void *self)
{
	const struct tela_service_desc *d[SERVICES_MAX];
	struct tela_reflection_Service_args a[SERVICES_MAX];
	struct tela_reflection_Method_args added[ADDED_MAX];
	uint32_t n = all_services(call, d), n_added = 0;

	(void)self;
	for (uint32_t i = 0; i < n; i++) {
		a[i] = (struct tela_reflection_Service_args){
			.name = {d[i]->name, strlen(d[i]->name)},
			.hash = d[i]->schema,
			.schema_bytes = d[i]->bfbs ? (uint32_t)d[i]->bfbs_len : 0,
			.added = added + n_added};
		a[i].added_len = added_to(call, d[i]->name, added + n_added, ADDED_MAX - n_added);
		n_added += (uint32_t)a[i].added_len;
	}
	return tela_reflection_Reflection_services_reply(
		call, &(struct tela_reflection_Services_args){.services = a, .services_len = n});
}

static enum tela_verdict schema(struct tela_call *call, void *self)
{
	struct tela_str name =
		tela_reflection_Name_name(tela_reflection_Reflection_schema_request(call));
	const struct tela_service_desc *d[SERVICES_MAX];
	uint32_t n = all_services(call, d);

	(void)self;
	for (uint32_t i = 0; i < n; i++) {
		if (strlen(d[i]->name) != name.len || memcmp(d[i]->name, name.s, name.len))
			continue;
		if (!d[i]->bfbs)
			return tela_reply_status(
				call, TELA_NOT_FOUND, "the service shows no schema");
		return tela_reflection_Reflection_schema_reply(
			call, &(struct tela_reflection_Schema_args){.name = name,
				      .hash = d[i]->schema,
				      .bfbs = {d[i]->bfbs, d[i]->bfbs_len}});
	}
	return tela_reply_status(call, TELA_NOT_FOUND, "no service of that name");
}

static const struct tela_link links[] = {
	{.service = &tela_reflection_Reflection_service,
		.method = tela_reflection_Reflection_services_ID,
		.enter = services},
	{.service = &tela_reflection_Reflection_service,
		.method = tela_reflection_Reflection_schema_ID,
		.enter = schema},
};

const struct tela_plugin reflection_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "reflection",
	.version = "1.0",
	.serves = &tela_reflection_Reflection_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
};

TELA_PLUGIN_EXPORT(reflection_plugin);
