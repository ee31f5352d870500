/* recorder_test.h - plugins of recorder_test.c, for the list of what is linked in. */
#pragma once

#include "../../dataplane/tela_plugin.h"

extern const struct tela_plugin recorder, recorder_a, recorder_b, crew;
