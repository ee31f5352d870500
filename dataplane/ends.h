/* ends.h - calls that do not end well, counted by side, method, code and reason: those that were
 * refused or shed before a handler ran, that a link or a handler failed, that got lost on the way.
 * How many calls there are, and how long they take, latency.h knows.
 *
 * Context: the owning core writes, with plain loads and stores, any other thread may read; `told`
 * is the control thread's. A call that ends well touches nothing of this.
 */
#pragma once

#include "tela_status.h"
#include "base.h"

#include <stdatomic.h>

enum { ENDS_MAX = 128, ENDS_TEXT_MAX = 63 };

enum ends_side { ENDS_CALLEE, ENDS_CALLER };

struct ends_series {
	_Atomic bool used; /* release: what is above `calls` is written once, before */
	uint8_t side, code;
	uint32_t hash;
	char service[ENDS_TEXT_MAX + 1], method[ENDS_TEXT_MAX + 1], reason[ENDS_TEXT_MAX + 1];
	_Atomic uint64_t calls;
	uint64_t told;
};

struct machine;

/* One more. Service and method may be NULL: not known here. */
void ends_count(struct machine *m, enum ends_side side, const struct tela_service_desc *service,
	const struct tela_method_desc *method, uint8_t code, struct tela_str reason);
/* Of a service, by its id; NULL: it has none. */
const struct tela_method_desc *ends_method(const struct tela_service_desc *d, uint16_t id);
