#include "load_sample.h"

#include "../dataplane/base.h"

enum { CORES_MAX = 64 };

static struct sample {
	uint64_t busy, polled;
} older[CORES_MAX], newer[CORES_MAX];
static uint64_t taken_ns;

void load_sample_take(const struct tela_node *n, uint64_t now_ns)
{
	struct tela_core_info info;

	if (now_ns - taken_ns < NS_PER_S)
		return;
	taken_ns = now_ns;
	for (uint32_t i = 0; i < tela_node_n_cores(n) && i < CORES_MAX; i++) {
		if (tela_node_core_info(n, i, &info))
			continue;
		older[i] = newer[i];
		newer[i] = (struct sample){info.busy_ns, info.polled_ns};
	}
}

double load_sample_busy(uint32_t core, const struct tela_core_info *now)
{
	const struct sample *s = &older[core < CORES_MAX ? core : 0];

	if (core >= CORES_MAX || now->polled_ns <= s->polled)
		return 0;
	return 100.0 * (double)(now->busy_ns - s->busy) / (double)(now->polled_ns - s->polled);
}
