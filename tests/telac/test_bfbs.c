/* test_bfbs.c - telac's reader and writers on damaged schemas: refused or read, never a crash.
 *
 * Arguments: binary schemas. Each is cut at every length and flipped at random, and what is still
 * read goes all the way to the headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bfbs.h"
#include "bfbs_model.h"
#include "check.h"
#include "emit.h"
#include "hash.h"

static char **files;
static int n_files;
static FILE *nowhere;

static bool survives(const uint8_t *bytes, size_t len)
{
	struct schema s = {.file = "damaged.fbs"};
	struct emit e = {nowhere, &s, "damaged"};
	uint8_t *exact = malloc(len ? len : 1);
	const char *why = NULL;
	bool read;
	size_t i;

	memcpy(exact, bytes, len);
	read = !bfbs_read(&s, exact, len, &why);
	assert_true(read || (why && *why));
	if (read && !check_schema(&s)) {
		for (i = 0; i < s.n_services; i++)
			s.services[i].hash = hash_service(&s, &s.services[i]);
		emit_data(&e);
		emit_rpc(&e);
	}
	schema_free(&s);
	free(exact);
	return read;
}

static size_t load(const char *path, uint8_t *bytes, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(bytes, 1, room, f);
	assert_in_range(n, 100, room - 1);
	fclose(f);
	return n;
}

static void truncations(void **state)
{
	static uint8_t bytes[1 << 16];
	size_t n, cut;
	int i;

	(void)state;
	for (i = 0; i < n_files; i++) {
		n = load(files[i], bytes, sizeof(bytes));
		assert_true(survives(bytes, n));
		for (cut = 0; cut<n; cut += n> 4000 ? 7 : 1)
			survives(bytes, cut);
	}
}

static void flips(void **state)
{
	static uint8_t bytes[1 << 16];
	uint32_t x = 12345;
	int i, turn, flip;
	size_t n;

	(void)state;
	for (i = 0; i < n_files; i++) {
		for (turn = 0; turn < 1500; turn++) {
			n = load(files[i], bytes, sizeof(bytes));
			for (flip = 0; flip <= turn % 3; flip++) {
				x = x * 1664525 + 1013904223;
				bytes[(x >> 8) % n] ^= (uint8_t)(1u << (x >> 5) % 8);
			}
			survives(bytes, n);
		}
	}
}

/* A table of a union and its type beside each other, and a struct: then each is spoiled. */
static const char *judge(void (*spoil)(struct schema *s))
{
	static struct enum_value values[2][2];
	static struct enumeration enums[2];
	static struct field fields[2], member;
	static struct object objects[2];
	static char why[200];
	struct schema s = {.enums = enums, .n_enums = 2, .objects = objects, .n_objects = 2};
	const char *reason;
	int i;

	for (i = 0; i < 2; i++) {
		values[i][0] =
			(struct enum_value){.name = "NONE", .type = {BASE_NONE, BASE_NONE, -1, 0}};
		values[i][1] = (struct enum_value){"T", 1, {BASE_OBJ, BASE_NONE, 1, 0}, NULL, {0}};
		enums[i] = (struct enumeration){
			.name = i ? "V" : "U", .values = values[i], .n_values = 2};
		enums[i].is_union = true;
		enums[i].base = BASE_UTYPE;
	}
	fields[0] = (struct field){"u_type", {BASE_UTYPE, BASE_NONE, 0, 0}, .id = 0, .offset = 4};
	fields[1] = (struct field){"u", {BASE_UNION, BASE_NONE, 0, 0}, .id = 1, .offset = 6};
	member = (struct field){"x", {BASE_ARRAY, BASE_INT, -1, 3}, .id = 0, .offset = 0};
	objects[0] =
		(struct object){.name = "S", .fields = &member, .n_fields = 1, .is_struct = true};
	objects[0].align = 4;
	objects[0].size = 12;
	objects[1] = (struct object){.name = "T", .fields = fields, .n_fields = 2};
	if (spoil)
		spoil(&s);
	reason = model_check_types(&s);
	snprintf(why, sizeof(why), "%s", reason ? reason : "");
	schema_free(&s);
	return why;
}

static void other_union(struct schema *s)
{
	s->objects[1].fields[0].type.index = 1;
}

static void other_name(struct schema *s)
{
	s->objects[1].fields[0].name = "w_type";
}

static void vector_beside(struct schema *s)
{
	s->objects[1].fields[0].type = (struct type){BASE_VECTOR, BASE_UTYPE, 0, 0};
}

static void no_value(struct schema *s)
{
	s->objects[1].n_fields = 1;
}

static void number_in_union(struct schema *s)
{
	s->enums[0].values[1].type.base = BASE_INT;
}

static void no_such_object(struct schema *s)
{
	s->enums[0].values[1].type.index = 2;
}

static void same_number(struct schema *s)
{
	s->enums[0].values[1].value = 0;
}

static void no_length(struct schema *s)
{
	s->objects[0].fields[0].type.length = 0;
}

static void too_long(struct schema *s)
{
	s->objects[0].fields[0].type.length = 4;
}

static void array_in_table(struct schema *s)
{
	s->objects[1].fields[0].type = s->objects[0].fields[0].type;
	s->objects[1].n_fields = 1;
}

static void optional_in_struct(struct schema *s)
{
	s->objects[0].fields[0].type = (struct type){BASE_INT, BASE_NONE, -1, 0};
	s->objects[0].fields[0].optional = true;
	s->objects[0].size = 4;
}

static void models_are_checked(void **state)
{
	(void)state;
	assert_string_equal(judge(NULL), "");
	assert_non_null(strstr(judge(other_union), "no type beside it"));
	assert_non_null(strstr(judge(other_name), "no type beside it"));
	assert_non_null(strstr(judge(vector_beside), "no type beside it"));
	assert_non_null(strstr(judge(no_value), "no type beside it"));
	assert_non_null(strstr(judge(number_in_union), "cannot have a member T"));
	assert_non_null(strstr(judge(no_such_object), "cannot have a member T"));
	assert_non_null(strstr(judge(same_number), "cannot have a member T"));
	assert_non_null(strstr(judge(no_length), "impossible type"));
	assert_non_null(strstr(judge(too_long), "is wrong"));
	assert_non_null(strstr(judge(array_in_table), "impossible type"));
	assert_non_null(strstr(judge(optional_in_struct), "no plain scalar"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(models_are_checked),
		cmocka_unit_test(truncations), cmocka_unit_test(flips)};

	files = argv + 1;
	n_files = argc - 1;
	nowhere = fopen("/dev/null", "w");
	if (!nowhere || !freopen("/dev/null", "w", stderr)) /* thousands of refusals */
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
