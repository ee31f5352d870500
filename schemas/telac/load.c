/* load.c - see load.h. */
#include "load.h"
#include "bfbs.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int read_file(const char *path, size_t most, uint8_t **ret_data, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t len = 0, room = 0, n;

	if (!f)
		return -errno;
	do {
		if (len == room) {
			uint8_t *larger =
				len <= most ? realloc(data, room = 2 * room + 65536) : NULL;

			if (!larger) {
				free(data);
				fclose(f);
				return len <= most ? -ENOMEM : -EFBIG;
			}
			data = larger;
		}
		n = fread(data + len, 1, room - len, f);
		len += n;
	} while (n);
	if (ferror(f) || len > most) {
		const int err = ferror(f) ? -EIO : -EFBIG;

		free(data);
		fclose(f);
		return err;
	}
	fclose(f);
	*ret_data = data;
	*ret_len = len;
	return 0;
}

char *stem_of(struct schema *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *stem = schema_format(s, "%s", slash ? slash + 1 : path);
	char *dot = strrchr(stem, '.');

	if (dot && dot != stem)
		*dot = 0;
	return stem;
}

bool is_fbs(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".fbs");
}

/* A path that is no option. */
static const char *plain(struct schema *s, const char *path)
{
	return *path == '-' ? schema_format(s, "./%s", path) : path;
}

/* Runs flatc, what it says going to stderr. 0, -EBADMSG (it fails), -errno (it cannot be run). */
static int run_flatc(const char *const *argv)
{
	posix_spawn_file_actions_t files;
	int err, status;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	err = posix_spawnp(&pid, "flatc", &files, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (err) {
		fprintf(stderr,
			"telac: flatc, which reads .fbs, cannot be run from PATH: %s (Debian: "
			"flatbuffers-compiler)\n",
			strerror(err));
		return -err;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EBADMSG;
}

static int flatc_bfbs(struct schema *s, const char *path, const char *into, const char *const *dirs,
	size_t n_dirs)
{
	const char **argv = schema_alloc(s, 2 * n_dirs + 9, sizeof(*argv));
	size_t i, n = 0;
	int err;

	argv[n++] = "flatc";
	for (i = 0; i < n_dirs; i++) {
		argv[n++] = "-I";
		argv[n++] = dirs[i];
	}
	argv[n++] = "-b";
	argv[n++] = "--schema";
	argv[n++] = "--bfbs-builtins";
	argv[n++] = "--bfbs-comments";
	argv[n++] = "-o";
	argv[n++] = into;
	argv[n++] = plain(s, path);
	err = run_flatc(argv);
	if (err == -EBADMSG)
		fprintf(stderr, "telac: %s: flatc does not take it\n", path);
	return err;
}

int flatc_conform(struct schema *s, const char *older, const char *newer, const char *const *dirs,
	size_t n_dirs)
{
	const char **argv = schema_alloc(s, 4 * n_dirs + 5, sizeof(*argv));
	size_t i, n = 0;

	argv[n++] = "flatc";
	for (i = 0; i < n_dirs; i++) {
		argv[n++] = "-I";
		argv[n++] = dirs[i];
		argv[n++] = "--conform-includes";
		argv[n++] = dirs[i];
	}
	argv[n++] = "--conform";
	argv[n++] = older;
	argv[n++] = plain(s, newer);
	return run_flatc(argv);
}

/* The .bfbs of a .fbs, in a folder of its own that is gone afterwards. */
static int compile(
	struct loaded *l, const char *path, const char *const *dirs, size_t n_dirs, size_t *ret_len)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = schema_format(&l->schema, "%s/telac-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	const char *bfbs;
	int err;

	if (!mkdtemp(dir)) {
		err = -errno;
		fprintf(stderr, "telac: %s: %s\n", dir, strerror(-err));
		return err;
	}
	bfbs = schema_format(&l->schema, "%s/%s.bfbs", dir, stem_of(&l->schema, path));
	err = flatc_bfbs(&l->schema, path, dir, dirs, n_dirs);
	if (!err) {
		err = read_file(bfbs, INT32_MAX, &l->data, ret_len);
		if (err)
			fprintf(stderr, "telac: %s: %s\n", bfbs, strerror(-err));
	}
	unlink(bfbs);
	rmdir(dir);
	return err;
}

int load_schema(struct loaded *ret, const char *path, const char *const *dirs, size_t n_dirs)
{
	const char *why;
	size_t len = 0;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->schema.file = schema_format(&ret->schema, "%s.fbs", stem_of(&ret->schema, path));
	if (is_fbs(path) && !access(path, R_OK)) {
		err = compile(ret, path, dirs, n_dirs, &len);
		if (err)
			return err;
	} else {
		err = read_file(path, INT32_MAX, &ret->data, &len);
		if (err) {
			fprintf(stderr, "telac: %s: %s\n", path, strerror(-err));
			return err;
		}
	}
	err = bfbs_read(&ret->schema, ret->data, len, &why);
	if (err)
		fprintf(stderr, "telac: %s: %s\n", path, why);
	return err;
}

void loaded_free(struct loaded *l)
{
	schema_free(&l->schema);
	free(l->data);
}
