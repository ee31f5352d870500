/* builtin.c - what is linked in: the services first, then the plugins that any service may use. */
#include "builtin.h"

#include <stddef.h>

const struct tela_plugin *const tela_builtin_plugins[] = {
	&echo_plugin,
	&kv_plugin,
	&calculator_plugin,
	&bytes_plugin,
	&reflection_plugin,
	&auth_plugin,
	&cache_plugin,
	&check_plugin,
	&counter_plugin,
	&fault_plugin,
	&log_plugin,
	&override_plugin,
	&rate_limit_plugin,
	&request_plugin,
	&stamp_plugin,
	&status_plugin,
	&tracer_plugin,
	&validate_plugin,
	NULL,
};
