/* bfbs_model.h - does what was read hang together? NULL, or the reason why not. */
#pragma once

#include "schema.h"

const char *model_check_types(struct schema *s);
const char *model_check_services(struct schema *s);
