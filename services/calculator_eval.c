/* calculator_eval.c - see calculator_eval.h. */
#include "calculator_eval.h"

struct walk {
	unsigned depth, visits;
};

const char *calculator_divide(double a, double b, double *ret)
{
	if (b == 0)
		return "division by zero";
	*ret = a / b;
	return NULL;
}

const char *calculator_sum(calculator_Series_t series, double *ret)
{
	size_t n = calculator_Series_values_len(series);
	double sum = 0;

	if (n > CALCULATOR_VALUES_MAX)
		return "more than 65536 values";
	for (size_t i = 0; i < n; i++)
		sum += calculator_Series_values_at(series, i);
	*ret = sum;
	return NULL;
}

static const char *apply(calculator_Op op, double a, double b, double *ret)
{
	switch (op) {
	case calculator_Op_add:
		*ret = a + b;
		return NULL;
	case calculator_Op_subtract:
		*ret = a - b;
		return NULL;
	case calculator_Op_multiply:
		*ret = a * b;
		return NULL;
	case calculator_Op_divide:
		return calculator_divide(a, b, ret);
	default:
		return "unknown operator"; /* a verifier does not look at the values of an enum */
	}
}

static const char *evaluate(calculator_Expression_t e, struct walk *w, double *ret)
{
	const char *error;
	double a, b;

	if (!e.p)
		return "an operator lacks an arm";
	if (w->depth == CALCULATOR_DEPTH_MAX)
		return "deeper than 32";
	if (++w->visits > CALCULATOR_VISITS_MAX)
		return "more than 4096 nodes";
	if (calculator_Expression_op(e) == calculator_Op_literal) {
		*ret = calculator_Expression_value(e);
		return NULL;
	}
	w->depth++;
	error = evaluate(calculator_Expression_left(e), w, &a);
	if (!error)
		error = evaluate(calculator_Expression_right(e), w, &b);
	w->depth--;
	return error ? error : apply(calculator_Expression_op(e), a, b, ret);
}

const char *calculator_evaluate(calculator_Expression_t e, double *ret)
{
	struct walk w = {0};

	return evaluate(e, &w, ret);
}
