/* telac.c - the FlatBuffers compiler for C: one binary schema in, one or two headers out.
 *
 * The whole schema is read and checked before anything is written, and each header is written
 * beside its name and renamed, so that a failed run leaves the old output or none.
 */
#include "bfbs.h"
#include "check.h"
#include "compat.h"
#include "emit.h"
#include "hash.h"
#include "lint.h"
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "0.1"

static const char help[] =
	"usage: telac [-o DIR] [--depfile FILE] [--schema-name NAME.fbs] FILE.bfbs\n"
	"       telac lint OLD NEW     (telac lint --help)\n"
	"\n"
	"Makes C from a FlatBuffers schema: NAME.h has readers, a verifier and builders for\n"
	"its tables; NAME_rpc.h, if there is an rpc_service, has typed calls and the table of\n"
	"a server's methods. Both are headers only and work in C11 and C++17.\n"
	"\n"
	"  -o, --output DIR      where the headers go (default: here)\n"
	"      --depfile FILE    a make rule saying what they were made from\n"
	"      --compat FILE     record of earlier versions that are accepted, as written by\n"
	"                        telac lint --record (default: NAME.compat beside FILE)\n"
	"      --schema-name N   name of the schema file (default: FILE with .fbs)\n"
	"  -h, --help            this text\n"
	"      --version         version of telac\n"
	"\n"
	"FILE.bfbs is flatc's binary schema:\n"
	"\n"
	"  flatc -b --schema --bfbs-builtins --bfbs-comments -o build echo.fbs\n"
	"  telac -o build build/echo.bfbs          # build/echo.h, build/echo_rpc.h\n"
	"\n"
	"Methods of an rpc_service take attributes, declared once as `attribute \"method_id\";`:\n"
	"  method_id: \"7\"        required, 1 to 65535: names the method on the wire\n"
	"  deadline_us: \"5000\"   default deadline\n"
	"  idempotent            the method may run twice for one call\n"
	"  bytes: \"request\"      that payload is any bytes, and no FlatBuffer; response, or "
	"both.\n"
	"                        Its type is a table without fields\n"
	"  segments              the handler takes a request of bytes in the pieces it came in\n"
	"  streaming: \"none\"     who sends more than one message; client, server and bidi are\n"
	"                        refused for now\n"
	"and what is written once for all that are equal in a buffer:\n"
	"  shared                of a string field\n"
	"  shared_vtable         of a table\n"
	"\n"
	"What telac does not cover is refused with file, name and reason, and nothing is\n"
	"written. Exit status: 0 done, 1 refused or failed, 2 wrong usage.\n";

struct options {
	const char *dir, *depfile, *schema_name, *compat, *input;
};

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
		{"depfile", required_argument, NULL, 'd'}, {"compat", required_argument, NULL, 'c'},
		{"schema-name", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "o:h", longs, NULL)) != -1) {
		if (c == 'o')
			o->dir = optarg;
		else if (c == 'd')
			o->depfile = optarg;
		else if (c == 'c')
			o->compat = optarg;
		else if (c == 's')
			o->schema_name = optarg;
		else if (c == 'h' || c == 'v') {
			fputs(c == 'h' ? help : "telac " VERSION "\n", stdout);
			exit(0);
		} else
			return -EINVAL;
	}
	if (optind + 1 != argc)
		return -EINVAL;
	o->input = argv[optind];
	return 0;
}

static int write_header(
	struct schema *s, const char *stem, const char *path, void (*part)(struct emit *e))
{
	const char *fresh = schema_format(s, "%s.new", path);
	struct emit e = {fopen(fresh, "w"), s, stem};
	bool failed;

	if (e.f) {
		part(&e);
		failed = ferror(e.f);
		failed = fclose(e.f) || failed;
		if (!failed && !rename(fresh, path))
			return 0;
	}
	fprintf(stderr, "telac: %s: %s\n", path, strerror(errno));
	remove(fresh);
	return -EIO;
}

/* `compat`: NULL if there is no such file. */
static int write_depfile(
	const struct options *o, const char *data, const char *rpc, const char *compat)
{
	FILE *f = fopen(o->depfile, "w");

	if (f) {
		fprintf(f, "%s%s%s: %s%s%s\n", data, rpc ? " " : "", rpc ? rpc : "", o->input,
			compat ? " " : "", compat ? compat : "");
		if (!fclose(f))
			return 0;
	}
	fprintf(stderr, "telac: %s: %s\n", o->depfile, strerror(errno));
	return -EIO;
}

static int write_all(struct schema *s, const struct options *o)
{
	const char *stem = stem_of(s, s->file);
	const char *data = schema_format(s, "%s/%s.h", o->dir, stem);
	const char *rpc = NULL;
	struct compat compat;
	bool exists;
	size_t i;
	int err;

	for (i = 0; i < s->n_services; i++) {
		s->services[i].hash = hash_service(s, &s->services[i]);
		if (schema_owns(s, s->services[i].file))
			rpc = schema_format(s, "%s/%s_rpc.h", o->dir, stem);
	}
	err = compat_read(&compat, s, o->compat ? o->compat : compat_path(s, o->input), &exists);
	if (!err)
		err = compat_assign(&compat, s);
	if (!err)
		err = write_header(s, stem, data, emit_data);
	if (!err && rpc)
		err = write_header(s, stem, rpc, emit_rpc);
	if (!err && o->depfile)
		err = write_depfile(o, data, rpc, exists ? compat.path : NULL);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {.dir = "."};
	struct schema s = {0};
	const char *why;
	uint8_t *data = NULL;
	size_t len = 0;
	int err;

	if (argc > 1 && !strcmp(argv[1], "lint"))
		return lint_main(argc - 1, argv + 1);
	if (parse(argc, argv, &o)) {
		fputs("usage: telac [-o DIR] FILE.bfbs (telac --help says more)\n", stderr);
		return 2;
	}
	err = read_file(o.input, INT32_MAX, &data, &len);
	if (err) {
		fprintf(stderr, "telac: %s: %s\n", o.input, strerror(-err));
		return 1;
	}
	s.file = schema_format(&s, "%s.fbs", stem_of(&s, o.schema_name ? o.schema_name : o.input));
	s.bfbs = data;
	s.bfbs_len = len;
	err = bfbs_read(&s, data, len, &why);
	if (err)
		fprintf(stderr, "telac: %s: %s\n", o.input, why);
	else if (check_schema(&s))
		err = -ENOTSUP;
	else
		err = write_all(&s, &o);
	schema_free(&s);
	free(data);
	return err ? 1 : 0;
}
