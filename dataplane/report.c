#include "report.h"

enum { REPORT_NAME_MAX = 128 };

struct record {
	uint32_t size; /* of all of it, a multiple of 8; 0: go on at the ring's start */
	uint16_t kind, text_len;
	uint16_t service_len, method_len;
	char bytes[]; /* service, method, text, a zero behind each */
};

struct report_ring {
	_Atomic uint32_t head cache_aligned; /* bytes put, wrapping */
	_Atomic uint32_t tail cache_aligned; /* bytes taken */
	uint8_t bytes[REPORT_BYTES] cache_aligned;
};

struct report_ring *report_ring_create(void)
{
	struct report_ring *r = aligned_alloc(CACHE_LINE, sizeof(*r));

	if (r) { /* its other pages are touched when they are used */
		atomic_init(&r->head, 0);
		atomic_init(&r->tail, 0);
	}
	return r;
}

void report_ring_free(struct report_ring *r)
{
	free(r);
}

static char *put_text(char *to, const void *text, size_t len)
{
	memcpy(to, text, len);
	to[len] = 0;
	return to + len + 1;
}

bool report_put(struct report_ring *r, unsigned kind, const char *service, const char *method,
	const void *text, size_t len)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t used = head - atomic_load_explicit(&r->tail, memory_order_acquire);
	size_t service_len = strnlen(service, REPORT_NAME_MAX - 1);
	size_t method_len = strnlen(method, REPORT_NAME_MAX - 1);
	uint32_t at = head % REPORT_BYTES, size, skip;
	struct record *to;
	char *bytes;

	len = min_u64(len, REPORT_TEXT_MAX);
	size = ALIGN8((uint32_t)(sizeof(*to) + service_len + method_len + len + 3));
	skip = at + size > REPORT_BYTES ? REPORT_BYTES - at : 0;
	if (used + skip + size > REPORT_BYTES)
		return false;
	if (skip) {
		((struct record *)(r->bytes + at))->size = 0;
		at = 0;
	}
	to = (struct record *)(r->bytes + at);
	to->size = size;
	to->kind = (uint16_t)kind;
	to->text_len = (uint16_t)len;
	to->service_len = (uint16_t)service_len;
	to->method_len = (uint16_t)method_len;
	bytes = put_text(to->bytes, service, service_len);
	bytes = put_text(bytes, method, method_len);
	put_text(bytes, text, len);
	/* Pairs with report_drain: the record is seen whole. */
	atomic_store_explicit(&r->head, head + skip + size, memory_order_release);
	return true;
}

void report_drain(struct report_ring *r, uint32_t core, tela_report_fn fn, void *arg)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	while (tail != head) {
		uint32_t at = tail % REPORT_BYTES;
		const struct record *from = (const struct record *)(r->bytes + at);
		struct tela_report report;

		if (!from->size) {
			tail += REPORT_BYTES - at;
			continue;
		}
		report = (struct tela_report){.kind = (enum tela_report_kind)from->kind,
			.core = core,
			.service = from->bytes,
			.method = from->bytes + from->service_len + 1,
			.text = from->bytes + from->service_len + from->method_len + 2,
			.text_len = from->text_len};
		if (fn)
			fn(arg, &report);
		tail += from->size;
	}
	/* Pairs with report_put: the place is read before it is written again. */
	atomic_store_explicit(&r->tail, tail, memory_order_release);
}
