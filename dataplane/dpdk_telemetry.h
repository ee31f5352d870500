/* dpdk_telemetry.h - the node under DPDK's own telemetry socket, beside what EAL and the devices
 * say there: /tela/counters and the like, for dpdk-telemetry.py and collectors that know DPDK.
 *
 * Context: control thread. The commands run on threads of DPDK's, which see the node only between
 * the two calls and read what any thread may read.
 */
#pragma once

struct tela_node;

/* From now on commands show this node; its ports and cores are there. */
void dpdk_telemetry_show(const struct tela_node *n);
/* No command looks at the node any more; nothing if none was shown. */
void dpdk_telemetry_hide(const struct tela_node *n);
