/* log_put.h - lines of services on their way to the control side; see tela_log.h. */
#pragma once

#include "tela_log.h"

struct tela_log_line;
struct tela_node;

/* Of the node itself, from any thread but a data core: to whoever takes the node's lines, or on
 * standard error if nobody does. */
void node_log(struct tela_node *n, enum tela_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What DPDK says, from any thread of a node whose cores poll. */
#define LOG_DPDK "dpdk"
void log_put_dpdk(struct tela_node *n, const struct tela_log_line *l);
/* dpdk_log.c: it goes there from now on; NULL: to whoever takes it. */
void dpdk_log_through(struct tela_node *n);
/* Hands out what is there, its times moved on by `offset_ns`. Control thread. */
void node_log_drain(struct tela_node *n, uint64_t offset_ns);
/* Lines of threads other than data cores that found no room. */
uint64_t node_logs_lost(const struct tela_node *n);
void node_log_free(struct tela_node *n);
