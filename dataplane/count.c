#include "count.h"

const struct count_info count_info[COUNT_N] = {
#define COUNT_EVENT_INFO(name, help) [count_##name] = {#name, help, false},
#define COUNT_DROP_INFO(name, help)  [count_##name] = {#name, help, true},
	COUNT_LIST(COUNT_EVENT_INFO, COUNT_DROP_INFO)};
