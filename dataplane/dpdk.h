/* dpdk.h - DPDK's headers after ours: for port.c, net.c and the like alone, never for a header. */
#pragma once

#include "base.h"

#undef NS_PER_S /* rte_cycles.h has its own, an int */
#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_log.h>
#include <rte_mbuf.h>
