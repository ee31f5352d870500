/* load.h - files into memory, and a schema from either of its forms. */
#pragma once

#include "schema.h"

/* A file whole, of at most `most` bytes. 0, -EFBIG or -errno; *ret_data is the caller's to free. */
int read_file(const char *path, size_t most, uint8_t **ret_data, size_t *ret_len);
char *stem_of(struct schema *s, const char *path); /* NAME of dir/NAME.ext */

struct loaded {
	struct schema schema;
	uint8_t *data; /* what its strings point into */
};

/* Reads FILE.bfbs, or FILE.fbs by way of flatc, as found on PATH and told to look for includes in
 * `dirs`. 0, or -errno with the reason on stderr; `ret` is to be freed either way. */
int load_schema(struct loaded *ret, const char *path, const char *const *dirs, size_t n_dirs);
/* flatc's own check that `newer` conforms to `older`, both .fbs. 0, or -errno. */
int flatc_conform(struct schema *s, const char *older, const char *newer, const char *const *dirs,
	size_t n_dirs);
bool is_fbs(const char *path);
void loaded_free(struct loaded *l);
