/* eal.h - DPDK's environment: memory, poll threads, and nothing left behind.
 *
 * Once a process: DPDK 22.11 cannot be started again after it was cleaned up. What a second start
 * would need (another node in the same process) is refused with -EALREADY.
 *
 * Context: control thread. Errors: -errno with a sentence.
 */
#pragma once

#include "base.h"

struct tela_node_config;

enum { EAL_CORES_MAX = 64 };

/* Starts EAL for the cores of `c`: claims each CPU, pins a worker thread to it and reads its
 * affinity back. The caller's own affinity is what it was before. */
int eal_start(const struct tela_node_config *c, char *err, size_t err_len);
/* Gives CPUs, memory and files back. The ports must be closed and the cores waited for. */
void eal_stop(void);

/* Runs `fn(arg)` on the thread of core `core` (index into the configuration's cores). 0 or -EBUSY.
 */
int eal_launch(uint32_t core, int (*fn)(void *arg), void *arg);
/* Waits for that thread to return from fn; what fn returned, 0 if nothing ran. */
int eal_wait(uint32_t core);
/* NUMA socket of the core's CPU, and how many sockets the machine's CPUs are on. */
int eal_socket(uint32_t core);
uint32_t eal_sockets(void);
/* Whether the memory is in huge pages; false with no_huge and where there are too few of them. */
bool eal_huge(void);
/* Whether `device` is the address of a PCI device rather than the name of a virtual one. */
bool eal_is_pci(const char *device);
