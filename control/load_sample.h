/* load_sample.h - how busy each data core has been over the last second or two: times are only
 * counted up, so that somebody must look at them now and then. Control thread. */
#pragma once

#include "../dataplane/tela_node.h"

void load_sample_take(const struct tela_node *n, uint64_t now_ns);
/* Percent of its time since the sample before the last one. */
double load_sample_busy(uint32_t core, const struct tela_core_info *now);
