/* ours.h - what the code generated for a batch of random schemas gives to oracle.cc, for each
 * schema: our side in C (ours.c, made by emit_c.py) and flatc's in C++ (theirs.cc, made by
 * emit_cpp.py).
 */
#pragma once

#include "text.h"

#include <tela_fb_verify.h>

#ifdef __cplusplus
extern "C" {
#endif

struct oracle_ours {
	const char *name;
	const struct tela_fb_desc_type *type; /* of the root */
	const char *identifier;               /* NULL: none */
	int (*verify)(const void *buf, size_t len);
	/* 0 or -EBADMSG, and the visits that it took, or its second look did, leaves apart */
	int (*visits)(const void *buf, size_t len, bool prefixed, uint32_t *ret_used,
		uint64_t *ret_leaves);
	size_t (*size)(struct text_in *in, const void **ret_args);
	int (*build)(void *buf, size_t room, const void *args);
	void (*dump)(const void *buf, struct text_out *o);
	/* the same with a size prefix */
	int (*verify_prefixed)(const void *buf, size_t len);
	size_t (*size_prefixed)(const void *args);
	int (*build_prefixed)(void *buf, size_t room, const void *args);
	void (*dump_prefixed)(const void *buf, struct text_out *o);
};

extern const struct oracle_ours oracle_ours[];
extern const size_t oracle_n;

/* How often, so far, an element of a vector was not found by its own key. */
uint64_t oracle_not_found(void);

#ifdef __cplusplus
}
#endif
