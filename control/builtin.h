/* builtin.h - the plugins linked into a program, by name. telad's are listed in services/builtin.c:
 * the control side knows no service, only this symbol. */
#pragma once

#include "../dataplane/tela_plugin.h"

extern const struct tela_plugin *const tela_builtin_plugins[]; /* NULL-terminated */
