#include "part.h"

struct parting {
	struct parting *next;
	struct request *request;
	json_t *result;
	uint64_t since_ns;
	uint32_t n;
	uint64_t ids[];
};

static uint32_t replaced(const struct change *c, uint64_t *ids)
{
	uint32_t n = 0;

	for (uint32_t i = 0; c->before && i < c->before->n; i++) {
		const struct tela_instance *root = c->before->declared[i]->root;

		if (!record_has(c->record, root))
			ids[n++] = root->id;
	}
	return n;
}

static const struct tela_instance *alive(const struct stack *s, const struct parting *p)
{
	for (const struct tela_instance *i = s->alive; i; i = i->next_alive)
		for (uint32_t k = 0; k < p->n; k++)
			if (i->id == p->ids[k])
				return i;
	return NULL;
}

/* `left`: one that has not stopped, or NULL. */
static void answer(const struct parting *p, const struct tela_instance *left, bool waited)
{
	json_object_set_new(p->result, "replaced", json_integer(p->n));
	json_object_set_new(p->result, "old_stopped", json_boolean(!left));
	if (waited && !left)
		json_object_set_new(p->result, "stopped_after_ms",
			json_integer((json_int_t)((control_now_ns() - p->since_ns) / NS_PER_MS)));
	if (waited && left)
		json_object_set_new(p->result, "waits_for",
			json_string(left->state == INSTANCE_ABANDONED
					    ? left->what
					    : "calls under an older image"));
	request_ok(p->request, p->result);
}

void part_answer(const struct change *c, struct request *r, json_t *result)
{
	uint32_t n = c->before ? c->before->n : 0;
	struct parting *p = calloc(1, sizeof(*p) + n * sizeof(p->ids[0]));

	if (!p) {
		json_decref(result);
		request_ok(r, NULL);
		return;
	}
	p->request = r;
	p->result = result;
	p->since_ns = control_now_ns();
	p->n = replaced(c, p->ids);
	if (request_flag(r, "wait") && p->n) {
		p->next = c->stack->partings;
		c->stack->partings = p;
		return;
	}
	answer(p, alive(c->stack, p), false);
	free(p);
}

void part_tick(struct stack *s)
{
	const uint64_t most_ns = (s->control->conf->drain_deadline_ms + STACK_LATE_MS) * NS_PER_MS;
	struct parting **at = &s->partings, *p;

	while ((p = *at)) {
		const struct tela_instance *left = alive(s, p);

		if (left && left->state != INSTANCE_ABANDONED &&
			control_now_ns() - p->since_ns < most_ns) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		answer(p, left, true);
		free(p);
	}
}
