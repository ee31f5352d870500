/* calculator.c - arithmetic on doubles: a service without state, options or hooks of its life.
 *
 * Hooks:   calculator.Calculator/add (1), subtract (2), multiply (3), divide (4), sum (5), evaluate
 * (6). Answers: INVALID_ARGUMENT as division_by_zero (its own) or invalid_parameters.
 */
#include "calculator_eval.h"
#include "calculator_rpc.h"
#include "svc.h"

static enum tela_verdict add(struct tela_call *call, void *self)
{
	calculator_Operands_t o = calculator_Calculator_add_request(call);
	struct calculator_Result_args r = {calculator_Operands_a(o) + calculator_Operands_b(o)};

	(void)self;
	return calculator_Calculator_add_reply(call, &r);
}

static enum tela_verdict subtract(struct tela_call *call, void *self)
{
	calculator_Operands_t o = calculator_Calculator_subtract_request(call);
	struct calculator_Result_args r = {calculator_Operands_a(o) - calculator_Operands_b(o)};

	(void)self;
	return calculator_Calculator_subtract_reply(call, &r);
}

static enum tela_verdict multiply(struct tela_call *call, void *self)
{
	calculator_Operands_t o = calculator_Calculator_multiply_request(call);
	struct calculator_Result_args r = {calculator_Operands_a(o) * calculator_Operands_b(o)};

	(void)self;
	return calculator_Calculator_multiply_reply(call, &r);
}

static enum tela_verdict divide(struct tela_call *call, void *self)
{
	calculator_Operands_t o = calculator_Calculator_divide_request(call);
	struct calculator_Result_args r = {0};
	const char *error =
		calculator_divide(calculator_Operands_a(o), calculator_Operands_b(o), &r.value);

	(void)self;
	if (error)
		return tela_reply_error(call, "division_by_zero", NULL);
	return calculator_Calculator_divide_reply(call, &r);
}

static enum tela_verdict sum(struct tela_call *call, void *self)
{
	struct calculator_Result_args r = {0};
	const char *error = calculator_sum(calculator_Calculator_sum_request(call), &r.value);

	(void)self;
	if (error)
		return tela_reply_error(call, "invalid_parameters", error);
	return calculator_Calculator_sum_reply(call, &r);
}

static enum tela_verdict evaluate(struct tela_call *call, void *self)
{
	struct calculator_Result_args r = {0};
	const char *error =
		calculator_evaluate(calculator_Calculator_evaluate_request(call), &r.value);

	(void)self;
	if (error)
		return tela_reply_error(call, "invalid_parameters", error);
	return calculator_Calculator_evaluate_reply(call, &r);
}

static const struct tela_status_def statuses[] = {
	{"division_by_zero", 422, TELA_INVALID_ARGUMENT, "division by zero"},
};

#define SERVE(name)                                                                                \
	{                                                                                          \
		.service = &calculator_Calculator_service,                                         \
		.method = calculator_Calculator_##name##_ID, .enter = name,                        \
	}

static const struct tela_link links[] = {
	SERVE(add),
	SERVE(subtract),
	SERVE(multiply),
	SERVE(divide),
	SERVE(sum),
	SERVE(evaluate),
	{.callback = TELA_STATUS, .statuses = statuses, .n_statuses = ARRAY_SIZE(statuses)},
};

const struct tela_plugin calculator_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "calculator",
	.version = "1.0",
	.serves = &calculator_Calculator_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
};

TELA_PLUGIN_EXPORT(calculator_plugin);
