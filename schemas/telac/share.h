/* share.h - which declarations have to do with strings and vtables that are written once. */
#pragma once

#include "schema.h"

/* Sets `shares` of every table and union that has a shared part, or leads to one that has. Work is
 * bounded by the size of the schema. */
void share_find(struct schema *s);
