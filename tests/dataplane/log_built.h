/* log_built.h - says something at each level, compiled with those from warn on. */
#pragma once

#include "tela_log.h"

void log_built(const struct tela_call *call, const struct tela_log *log);
