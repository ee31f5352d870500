/* builtin.h - the plugins of this folder. A program that links them in finds them by name through
 * tela_builtin_plugins; a test may take one directly. */
#pragma once

#include "tela_plugin.h"

extern const struct tela_plugin *const tela_builtin_plugins[]; /* NULL-terminated */

extern const struct tela_plugin echo_plugin, kv_plugin, calculator_plugin, bytes_plugin,
	reflection_plugin;
extern const struct tela_plugin auth_plugin, cache_plugin, check_plugin, counter_plugin,
	fault_plugin, log_plugin, override_plugin, rate_limit_plugin, request_plugin, stamp_plugin,
	status_plugin, tracer_plugin, validate_plugin;
