/* mesh_all.c - one call of every instance at once; see mesh.h. */
#include "mesh.h"

#include "caller.h"
#include "node.h"

static void over(struct mesh_all *a)
{
	struct mesh_core *mc = a->core;
	tela_all_fn all = a->all;
	void *arg = a->arg;
	uint32_t n_ok = a->n_ok;

	list_del(&a->waiting);
	a->next_free = mc->free_all;
	mc->free_all = a;
	all(arg, n_ok, mc->mesh->balance.n);
}

/* Those that are still asked need not answer any more. */
static void cancel_rest(struct mesh_all *a)
{
	a->cancelling = true;
	for (uint32_t i = 0; i < a->core->mesh->balance.n; i++)
		if (a->part[i].slot)
			caller_fail(&a->core->core->m, a->part[i].slot, TELA_CANCELLED,
				"enough have answered");
	a->cancelling = false;
}

static void part_done(void *arg, const struct tela_result *r)
{
	struct mesh_part *p = arg;
	struct mesh_all *a = p->all;
	const char *name = a->core->mesh->balance.at[p->instance].name;

	p->slot = NULL;
	a->n_left--;
	a->n_ok += r->code == TELA_OK;
	a->each(a->arg, p->instance, name[0] ? name : NULL, r);
	if (a->cancelling)
		return; /* whoever cancels looks after the rest */
	if (a->quorum && a->n_ok >= a->quorum)
		cancel_rest(a);
	if (!a->n_left)
		over(a);
}

/* Asks instance `i`; what cannot be asked is told so in a later pass. */
static void ask(struct mesh_all *a, uint32_t i, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o)
{
	struct mesh_part *p = &a->part[i];
	struct tela_request r;
	int rc = client_begin(a->core->core, a->core->mesh->instance[i], m, len, o, &r);

	*p = (struct mesh_part){.all = a, .instance = (uint8_t)i};
	if (rc) {
		p->code = rc == -ENOTCONN ? TELA_UNAVAILABLE : TELA_RESOURCE_EXHAUSTED;
		list_del(&a->waiting);
		list_add_tail(&a->core->alls, &a->waiting);
		return;
	}
	memcpy(r.payload, payload, len);
	p->slot = r.slot;
	tela_request_send(&r, part_done, p);
}

int tela_mesh_all(struct tela_client *c, const struct tela_method_desc *m, const void *payload,
	size_t len, const struct tela_options *o, uint32_t quorum, tela_each_fn each,
	tela_all_fn all, void *arg)
{
	struct core *core = core_current;
	struct tela_options own = o ? *o : (struct tela_options){0};
	struct mesh_core *mc;
	struct mesh_all *a;
	int rc;

	if (!c->mesh || quorum > c->mesh->balance.n ||
		own.flags & (~TELA_CALL_FLAGS | TELA_CALL_DIRECT))
		return -EINVAL;
	mc = &c->mesh->core[core->index];
	rc = mesh_core_open(mc);
	if (rc)
		return rc;
	a = mc->free_all;
	if (!a)
		return -EAGAIN;
	mc->free_all = a->next_free;
	*a = (struct mesh_all){.core = mc,
		.n_left = c->mesh->balance.n,
		.quorum = quorum,
		.each = each,
		.all = all,
		.arg = arg};
	list_init(&a->waiting);
	own.deadline_us = mesh_deadline_us(c, m, o);
	own.flags &= ~(uint32_t)TELA_CALL_SEGMENTS;
	own.reply_into = NULL;
	for (uint32_t i = 0; i < c->mesh->balance.n; i++)
		ask(a, i, m, payload, len, &own);
	return 0;
}

void mesh_all_due(struct mesh_all *a)
{
	static const char message[] = "the instance cannot be asked";
	uint32_t n = a->core->mesh->balance.n;

	list_del(&a->waiting);
	/* The last one told may give `a` to another call. */
	for (uint32_t i = 0, left = n; i < n && left; i++) {
		struct tela_result r = {.code = a->part[i].code,
			.outcome = TELA_NOT_EXECUTED,
			.message = {message, sizeof(message) - 1}};

		if (!r.code)
			continue;
		a->part[i].code = 0;
		left = a->n_left - 1;
		part_done(&a->part[i], &r);
	}
}
