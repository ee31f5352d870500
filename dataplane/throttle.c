#include "throttle.h"

#include "machine.h"

static struct throttle *find(const struct path *p, const struct tela_service_desc *service)
{
	for (int i = 0; i < THROTTLES; i++)
		if (p->throttle[i].service == service)
			return (struct throttle *)(uintptr_t)&p->throttle[i];
	return NULL;
}

static void end(struct path *p, struct throttle *t)
{
	t->service = NULL;
	p->throttled--;
}

static bool waits(const struct machine *m, const struct throttle *t)
{
	return t->leave < THROTTLE_CALL && m->now_ns < t->next_ns && m->now_ns < t->until_ns;
}

__attribute__((cold)) bool throttle_begin(
	struct machine *m, struct path *p, const struct tela_service_desc *service)
{
	struct throttle *t = find(p, service);

	if (!t)
		return true; /* it is another's */
	if (waits(m, t)) {
		count(m->counts, count_calls_throttled);
		return false;
	}
	if (m->now_ns >= t->until_ns) {
		end(p, t);
	} else if (t->leave >= THROTTLE_CALL) {
		t->leave -= THROTTLE_CALL;
	} else {
		t->next_ns = m->now_ns + t->retry_us * NS_PER_US;
	}
	return true;
}

uint32_t throttle_wait_us(
	const struct machine *m, const struct path *p, const struct tela_service_desc *service)
{
	const struct throttle *t = p->throttled ? find(p, service) : NULL;

	return t && waits(m, t) ? t->retry_us : 0;
}

void throttle_abandon(struct path *p, const struct tela_service_desc *service)
{
	struct throttle *t = find(p, service);

	if (t)
		t->leave += THROTTLE_CALL;
}

__attribute__((cold)) void throttle_taken(struct path *p, const struct tela_service_desc *service)
{
	struct throttle *t = find(p, service);

	if (t)
		t->leave = t->leave + THROTTLE_TAKEN > THROTTLE_MOST ? THROTTLE_MOST
								     : t->leave + THROTTLE_TAKEN;
}

/* The oldest goes where there is none free: its callee will say it again. */
static struct throttle *begin(struct path *p, const struct tela_service_desc *service)
{
	struct throttle *t = &p->throttle[0];

	for (int i = 0; i < THROTTLES && t->service; i++)
		if (!p->throttle[i].service || p->throttle[i].until_ns < t->until_ns)
			t = &p->throttle[i];
	p->throttled += !t->service;
	*t = (struct throttle){.service = service};
	return t;
}

void throttle_answered(struct machine *m, struct caller_slot *s, const struct tela_result *r)
{
	struct path *p = s->session->path;
	struct tela_status_view v;
	struct throttle *t;

	tela_result_status(r, &v);
	if (r->code != TELA_RESOURCE_EXHAUSTED || r->outcome != TELA_NOT_EXECUTED ||
		v.name.len != strlen(SHED_NAME) || memcmp(v.name.s, SHED_NAME, v.name.len))
		return;
	t = find(p, s->session->service);
	if (!t)
		t = begin(p, s->session->service);
	else
		t->leave -= THROTTLE_TAKEN; /* it was not taken after all: caller_response() */
	t->retry_us = min_u32(r->retry_after_us, THROTTLE_RETRY_MAX_US);
	if (m->now_ns >= t->next_ns)
		t->next_ns = m->now_ns + t->retry_us * NS_PER_US;
	t->until_ns = m->now_ns + THROTTLE_REST * t->retry_us * NS_PER_US;
}
