/* lint_main.c - `telac lint`: its options, its files, its exit status. */
#include "check.h"
#include "compat.h"
#include "lint.h"
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COMPATIBLE, BREAKING, UNKNOWN }; /* exit status */

static const char help[] =
	"usage: telac lint [-I DIR]... [-o table|json] [--record] OLD NEW\n"
	"\n"
	"Says whether nodes that have NEW can be deployed beside nodes that have OLD, and what\n"
	"changed. OLD and NEW are schemas, or flatc's binary schemas; flatc, found on PATH,\n"
	"reads the former, and its own conformity check is then asked too:\n"
	"\n"
	"  git show v1.0:schemas/kv.fbs > old/kv.fbs\n"
	"  telac lint old/kv.fbs schemas/kv.fbs\n"
	"\n"
	"  -I DIR                look for included schemas there\n"
	"  -o, --output FORMAT   table (default) or json\n"
	"      --json            the same as -o json\n"
	"      --record          if NEW is compatible, record OLD beside it, in NEW's "
	"NAME.compat,\n"
	"                        with what OLD's own record has: telac, when it makes C of NEW,\n"
	"                        lists these earlier versions there, and nodes accept them\n"
	"      --compat FILE     the record, if it is not beside NEW\n"
	"      --note TEXT       comment of what is recorded (default: the date)\n"
	"  -h, --help            this text\n"
	"\n"
	"compatible: fields at the end of a table, methods, services, values of an enum and\n"
	"  members of a union added; a field deprecated; anything but methods and services\n"
	"  renamed, since only their names are on the wire.\n"
	"breaking: what the other side would misread, refuse or miss. A field, method or value\n"
	"  that is gone for good (its number could come back as something else) or moved, a\n"
	"  method_id given to another method, another type or default, `required` or `key`\n"
	"  added or taken away, any change of a struct, another file_identifier.\n"
	"\n"
	"Exit status: 0 compatible, 1 breaking, 2 wrong usage or a file that cannot be read.\n";

struct options {
	const char *older, *newer;
	const char **dirs;
	size_t n_dirs;
	const char *compat, *note;
	bool json, record;
};

/* 0, -EINVAL, or 1: all is done. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'}, {"record", no_argument, NULL, 'r'},
		{"compat", required_argument, NULL, 'c'}, {"note", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int c;

	argv[0] = (char[]){"telac lint"}; /* for getopt's messages */
	while ((c = getopt_long(argc, argv, "I:o:h", longs, NULL)) != -1) {
		if (c == 'I')
			o->dirs[o->n_dirs++] = optarg; /* not more than arguments */
		else if (c == 'j' || (c == 'o' && !strcmp(optarg, "json")))
			o->json = true;
		else if (c == 'o' && !strcmp(optarg, "table"))
			o->json = false;
		else if (c == 'r')
			o->record = true;
		else if (c == 'c')
			o->compat = optarg;
		else if (c == 'n')
			o->note = optarg;
		else if (c == 'h') {
			fputs(help, stdout);
			return 1;
		} else
			return -EINVAL;
	}
	if (optind + 2 != argc || (o->note && strpbrk(o->note, "\n\r")))
		return -EINVAL;
	o->older = argv[optind];
	o->newer = argv[optind + 1];
	return 0;
}

static int load(struct loaded *l, const char *path, const struct options *o)
{
	int err = load_schema(l, path, o->dirs, o->n_dirs);

	return !err && check_services(&l->schema) ? -ENOTSUP : err;
}

static const char head[] =
	"# Versions of the services here that nodes may have side by side: the newer, the older.\n"
	"# Written by `telac lint --record`, read by telac when it makes C of the schema.\n"
	"\n";

static const char *today(struct schema *s)
{
	time_t now = time(NULL);
	struct tm t;
	char text[32] = "";

	if (gmtime_r(&now, &t))
		strftime(text, sizeof(text), "%Y-%m-%d", &t);
	return schema_format(s, "%s", text);
}

static int record(const struct options *o, const struct lint *l)
{
	struct schema *s = l->newer;
	struct compat mine, theirs;
	bool exists, ignored;
	size_t i;
	int err;

	err = compat_read(&mine, s, o->compat ? o->compat : compat_path(s, o->newer), &exists);
	if (!err)
		err = compat_read(&theirs, s, compat_path(s, o->older), &ignored);
	if (!exists)
		mine.head = head;
	for (i = 0; i < l->n_services && !err; i++) {
		const struct lint_service *v = &l->services[i];
		const struct compat_line line = {.service = v->name,
			.above = "",
			.note = schema_format(s, "# %s", o->note ? o->note : today(s)),
			.newer = v->new_hash,
			.older = v->old_hash};

		if (!v->old_hash)
			continue;
		if (v->old_hash != v->new_hash)
			err = compat_add(&mine, &line);
		if (!err)
			err = compat_add_reached(&mine, &theirs, v->name, v->old_hash);
	}
	if (err || !mine.n_added)
		return err;
	err = compat_write(&mine);
	if (!err)
		fprintf(stderr, "telac: %s: %zu added\n", mine.path, mine.n_added);
	return err;
}

static int compare(const struct options *o, struct loaded *older, struct loaded *newer)
{
	struct lint_line refused = {.breaking = true,
		.kind = "schema",
		.name = newer->schema.file,
		.text = "flatc --conform does not take it, as it says on standard error"};
	struct lint l;
	size_t i;

	lint_run(&l, &older->schema, &newer->schema);
	if (!l.breaking && is_fbs(o->older) && is_fbs(o->newer) &&
		flatc_conform(&newer->schema, o->older, o->newer, o->dirs, o->n_dirs)) {
		lint_add(&l, &refused);
		for (i = 0; i < l.n_services; i++)
			l.services[i].breaking = true;
	}
	if (o->json)
		lint_print_json(&l, o->older, o->newer);
	else
		lint_print(&l, o->older, o->newer);
	if (l.breaking)
		return BREAKING;
	return o->record && record(o, &l) ? UNKNOWN : COMPATIBLE;
}

int lint_main(int argc, char **argv)
{
	struct options o = {.dirs = calloc((size_t)argc + 1, sizeof(*o.dirs))};
	struct loaded older = {0}, newer = {0};
	int status = UNKNOWN, err = o.dirs ? parse(argc, argv, &o) : -ENOMEM;

	if (err < 0)
		fputs("usage: telac lint OLD NEW (telac lint --help says more)\n", stderr);
	else if (err)
		status = COMPATIBLE;
	else if (!load(&older, o.older, &o) && !load(&newer, o.newer, &o))
		status = compare(&o, &older, &newer);
	loaded_free(&older);
	loaded_free(&newer);
	free(o.dirs);
	if (fflush(stdout) || ferror(stdout)) {
		perror("telac: standard output");
		status = UNKNOWN;
	}
	return status;
}
