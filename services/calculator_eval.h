/* calculator_eval.h - the arithmetic alone, bounded: what a handler on a data core may take.
 *
 * Each returns NULL and the value, or what is wrong with the arguments, for INVALID_ARGUMENT.
 */
#pragma once

#include "calculator.h"

enum {
	CALCULATOR_DEPTH_MAX = 32, /* of a tree: a leaf alone is 1 */
	CALCULATOR_VISITS_MAX =
		4096, /* arms may share tables, so depth alone does not bound the work */
	CALCULATOR_VALUES_MAX = 65536, /* of a series: some 50 us */
};

const char *calculator_divide(double a, double b, double *ret);
const char *calculator_sum(calculator_Series_t series, double *ret);
const char *calculator_evaluate(calculator_Expression_t e, double *ret);
