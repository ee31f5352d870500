/* tela_callback.h - callbacks of one's own: a service or a plugin names one, other plugins of the
 * service hook it, and it is asked from a handler or a link. In a header that both include:
 *
 *      struct price_args { uint64_t cents; uint32_t customer; };
 *      TELA_CALLBACK(shop_price, struct price_args)
 *
 * A plugin that hooks it has a link, and a function of that signature, in which it changes what it
 * likes of `args` and continues, or answers:
 *
 *      static enum tela_verdict rebate(struct tela_call *call, void *self, struct price_args
 * *args);
 *      ... {TELA_ON(shop_price, rebate)},
 *
 * The one that asks walks the chain: every plugin of the service that hooks it, in call order,
 * until one does not continue. What it returned is returned: TELA_ANSWER (a reply or a status has
 * been set), TELA_PENDING (return that as well: when the call goes on, it does so behind the link
 * that asked), or TELA_CONTINUE when the walk fell off the end, and nobody, perhaps, has hooked it:
 *
 *      if (shop_price_walk(call, &args) != TELA_CONTINUE)
 *              return TELA_ANSWER;
 *
 * The id of a callback is its name, which is the same in every service; callers from outside cannot
 * reach it. Chains are flat arrays of the image that the call runs under. The functions run on
 * the thread that walks: a data core, or a worker if the link that asks blocks.
 */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TELA_CALLBACK_NAME_MAX = 47 };

/* Made by TELA_CALLBACK. */
struct tela_callback {
	uint64_t id; /* of the name */
	const char *name;
	const char *args; /* type of its arguments */
	uint32_t args_size;
};

typedef void (*tela_step_fn)(void);

/* One link of its chain. */
struct tela_step {
	tela_step_fn fn;
	void *self;
};

/* The chain of `c` in the image that the call runs under; *ret_n steps, 0: nobody hooks it. For the
 * functions that TELA_CALLBACK makes. [core], or a worker */
const struct tela_step *tela_callback_steps(
	const struct tela_call *call, const struct tela_callback *c, uint32_t *ret_n);

/* A name's hash as a constant: each byte, or 0 behind its end. */
#define TELA_ID_C(s, i)                                                                            \
	((uint64_t)(unsigned char)((i) < sizeof(s) ? (s)[(i) < sizeof(s) ? (i) : 0] : 0))
#define TELA_ID_2(h, s, i)                                                                         \
	(((h)*0x100000001b3ull + TELA_ID_C(s, i)) * 0x100000001b3ull + TELA_ID_C(s, (i) + 1))
#define TELA_ID_8(h, s, i)                                                                         \
	TELA_ID_2(TELA_ID_2(TELA_ID_2(TELA_ID_2(h, s, i), s, (i) + 2), s, (i) + 4), s, (i) + 6)
#define TELA_ID_24(h, s, i) TELA_ID_8(TELA_ID_8(TELA_ID_8(h, s, i), s, (i) + 8), s, (i) + 16)
#define TELA_ID(s)          TELA_ID_24(TELA_ID_24(sizeof(s), s, 0), s, 24)

#define TELA_CALLBACK(cb, args_type)                                                               \
	typedef enum tela_verdict (*cb##_fn)(                                                      \
		struct tela_call * call, void *self, args_type *args);                             \
	static const struct tela_callback cb##_callback = {                                        \
		TELA_ID(#cb), #cb, #args_type, sizeof(args_type)};                                 \
	static inline enum tela_verdict cb##_walk(struct tela_call *call, args_type *args)         \
	{                                                                                          \
		uint32_t i, n;                                                                     \
		const struct tela_step *step = tela_callback_steps(call, &cb##_callback, &n);      \
		enum tela_verdict v = TELA_CONTINUE;                                               \
                                                                                                   \
		for (i = 0; i < n && v == TELA_CONTINUE; i++)                                      \
			v = ((cb##_fn)step[i].fn)(call, step[i].self, args);                       \
		return v;                                                                          \
	}

/* Of a struct tela_link: `function` is of the callback's signature, or it does not compile. */
#define TELA_ON(cb, function)                                                                      \
	.own = &cb##_callback, .step = (tela_step_fn)(1 ? (function) : (cb##_fn)0)

#ifdef __cplusplus
}
#endif
