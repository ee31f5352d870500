/* alloc.c - allocations that fail. The linker puts these in front of the machine's own (--wrap). */
#include "sim.h"

#include <sys/mman.h>

struct msg *__real_msgpool_get(struct msgpool *p, uint32_t size);
struct msg *__wrap_msgpool_get(struct msgpool *p, uint32_t size);
struct call *__real_call_get(struct machine *m);
struct call *__wrap_call_get(struct machine *m);
struct bulk_tx *__real_bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len);
struct bulk_tx *__wrap_bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len);
struct bulk_rx *__real_bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len);
struct bulk_rx *__wrap_bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len);
void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

bool alloc_fails(void)
{
	struct sim *sim = sim_now;

	if (!sim || !sim->allocs_fail || sim->clean || !rng_ppm(&sim->alloc_rng, sim->s.alloc_ppm))
		return false;
	sim->fault_hit[FAULT_alloc]++;
	return true;
}

struct msg *__wrap_msgpool_get(struct msgpool *p, uint32_t size)
{
	return alloc_fails() ? NULL : __real_msgpool_get(p, size);
}

struct call *__wrap_call_get(struct machine *m)
{
	return alloc_fails() ? NULL : __real_call_get(m);
}

struct bulk_tx *__wrap_bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len)
{
	return alloc_fails() ? NULL : __real_bulk_tx_start(m, p, head, timing, body, len);
}

struct bulk_rx *__wrap_bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len)
{
	return alloc_fails() ? NULL : __real_bulk_rx_start(m, p, len, envelope_len);
}

/* Memory comes when it is touched: a thousand nodes take what they use. */
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	return alloc_fails() ? (errno = ENOMEM, MAP_FAILED)
			     : __real_mmap64(at, len, prot, flags & ~MAP_POPULATE, fd, offset);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return alloc_fails() ? (errno = ENOMEM, NULL) : __real_calloc(n, size);
}
