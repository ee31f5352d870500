#include "lend.h"

#include "machine.h"

enum { LEND_ABOVE = 9000 /* no packet takes more, so it goes in fragments */ };

struct lent {
	tela_lent_fn done;
	void *arg;
	struct tela_image *image;
	struct tela_service *svc;
};

/* What asks for so much room gets a message, and not the slot. */
enum { LENT_ROOM = SLOT_REPLY_BYTES };

_Static_assert(sizeof(struct lent) <= LENT_ROOM, "stands where a payload would");

static struct lent *lent_of(const struct msg *msg)
{
	return (struct lent *)(uintptr_t)(msg->data + ENVELOPE_MAX + WIRE_TIMING);
}

static void pin(struct machine *m, const struct lent *l, int delta)
{
	image_pin_add(l->image, m->cfg.core, delta);
	service_in_flight_add(l->svc, m->cfg.core, delta);
}

static void give(tela_lent_fn done, void *arg)
{
	if (done)
		done(arg);
}

void lend_end(struct machine *m, struct msg *msg)
{
	const struct lent *l = lent_of(msg);

	msg->lent = false;
	give(l->done, l->arg);
	pin(m, l, -1);
}

bool lend_is_of(const struct msg *msg, const struct tela_service *svc, uint64_t generation)
{
	const struct lent *l = lent_of(msg);

	return msg->lent && (!svc || l->svc == svc) &&
	       (generation == UINT64_MAX || l->image->generation == generation);
}

enum tela_verdict tela_reply_lend(
	struct tela_call *pub, const void *from, size_t len, tela_lent_fn done, void *arg)
{
	struct call *c = call_of(pub);
	const bool whole = len <= LEND_ABOVE || !c->machine->io; /* a worker's machine has none */
	const bool large = len > MSG_PAYLOAD_MAX || len > c->reply_limit;
	struct lent *l = whole ? NULL : tela_reply_begin(pub, large ? len : LENT_ROOM);

	if (!l) {
		if (whole)
			tela_reply_copy(pub, from, len);
		give(done, arg);
		return TELA_ANSWER;
	}
	*l = (struct lent){done, arg, c->image, c->svc};
	pin(c->machine, l, 1);
	c->reply_msg->lent = true;
	c->reply_msg->from = from;
	c->reply = (uint8_t *)(uintptr_t)from;
	c->reply_len = c->reply_room = (uint32_t)len;
	return TELA_ANSWER;
}
