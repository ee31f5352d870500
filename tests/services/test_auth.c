/* test_auth.c - rules as the configuration writes them, and tokens that were tampered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth_rules.h"
#include "auth_token.h"

static const uint8_t secret[] = "sixteen bytes or more";
enum { SECRET_LEN = sizeof(secret) - 1, NOW = 1000 };

static size_t base64(char *to, const uint8_t *from, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t w = (uint32_t)from[i] << 16 | (i + 1 < len ? from[i + 1] << 8 : 0) |
			     (i + 2 < len ? from[i + 2] : 0);

		for (int k = 0; k < 4 && (k < 2 || i + k - 1 < len); k++)
			to[n++] = digits[w >> (18 - 6 * k) & 63];
	}
	to[n] = 0;
	return n;
}

static size_t make(char *to, const char *header, const char *claims)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_len;
	size_t n = base64(to, (const uint8_t *)header, strlen(header));

	to[n++] = '.';
	n += base64(to + n, (const uint8_t *)claims, strlen(claims));
	assert_non_null(HMAC(EVP_sha256(), secret, SECRET_LEN, (uint8_t *)to, n, mac, &mac_len));
	to[n++] = '.';
	return n + base64(to + n, mac, mac_len);
}

static const char *verify(const char *header, const char *claims, struct auth_claims *c)
{
	char token[2000];
	size_t n = make(token, header, claims);

	return auth_token_verify(token, n, secret, SECRET_LEN, NOW, c);
}

#define OURS "{\"alg\":\"HS256\"}"

static void test_tokens(void **state)
{
	static const struct {
		const char *header, *claims, *status;
	} cases[] = {
		{OURS, "{\"sub\":\"alice\",\"exp\":1001}", NULL},
		{OURS, "{\"sub\":\"a.b@c-d_1\",\"exp\":1e300,\"nbf\":1000,\"x\":[]}", NULL},
		{OURS, "{\"sub\":\"alice\",\"exp\":1000}", "token_expired"},
		{OURS, "{\"sub\":\"alice\",\"exp\":-1e300}", "token_expired"},
		{OURS, "{\"sub\":\"alice\",\"exp\":2000,\"nbf\":1001}", "token_invalid"},
		{OURS, "{\"sub\":\"alice\"}", "token_invalid"},
		{OURS, "{\"exp\":2000}", "token_invalid"},
		{OURS, "{\"sub\":\"\",\"exp\":2000}", "token_invalid"},
		{OURS, "{\"sub\":\"a,b\",\"exp\":2000}", "token_invalid"},
		{OURS, "{\"sub\":7,\"exp\":2000}", "token_invalid"},
		{OURS, "{\"sub\":\"a\",\"sub\":\"b\",\"exp\":2000}", "token_invalid"},
		{OURS, "[\"sub\"]", "token_invalid"},
		{OURS, "", "token_invalid"},
		{"{\"alg\":\"none\"}", "{\"sub\":\"alice\",\"exp\":2000}", "token_invalid"},
		{"{\"alg\":\"HS256\",\"crit\":[\"x\"]}", "{\"sub\":\"a\",\"exp\":2000}",
			"token_invalid"},
		{"", "{\"sub\":\"alice\",\"exp\":2000}", "token_invalid"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct auth_claims c;
		const char *got = verify(cases[i].header, cases[i].claims, &c);

		if (cases[i].status)
			assert_string_equal(got ? got : "none", cases[i].status);
		else
			assert_null(got);
	}
}

/* Every byte of a good one changed, every length cut: none is taken. */
static void test_tampered(void **state)
{
	char token[2000], bad[2000];
	size_t n = make(token, OURS, "{\"sub\":\"alice\",\"exp\":2000}");
	struct auth_claims c;

	(void)state;
	assert_null(auth_token_verify(token, n, secret, SECRET_LEN, NOW, &c));
	assert_string_equal(c.subject, "alice");
	assert_int_equal(c.expires_s, 2000);
	/* Held to be known for exactly as long as it verifies. */
	assert_null(verify(OURS, "{\"sub\":\"alice\",\"exp\":1000.5}", &c));
	assert_int_equal(c.expires_s, NOW + 1);
	for (size_t i = 0; i < n; i++) {
		memcpy(bad, token, n);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_non_null(auth_token_verify(bad, n, secret, SECRET_LEN, NOW, &c));
		assert_non_null(auth_token_verify(token, i, secret, SECRET_LEN, NOW, &c));
	}
	assert_non_null(auth_token_verify(token, n, secret, SECRET_LEN - 1, NOW, &c));
	/* The last digit has two bits that say nothing: there is one way to write each token. */
	memcpy(bad, token, n);
	bad[n - 1]++;
	assert_non_null(auth_token_verify(bad, n, secret, SECRET_LEN, NOW, &c));
	memset(bad, 'A', sizeof(bad));
	assert_non_null(auth_token_verify(bad, sizeof(bad), secret, SECRET_LEN, NOW, &c));
	assert_non_null(auth_token_verify("..", 2, secret, SECRET_LEN, NOW, &c));
}

static struct auth_rules rules;

#define SUBJECTS(...)                                                                              \
	{                                                                                          \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]) \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static bool may(const char *method, const char *subject)
{
	return auth_rules_of_method(&rules, method) & auth_rules_of_subject(&rules, subject);
}

static bool may_anybody(const char *method)
{
	return auth_rules_of_method(&rules, method) & auth_rules_of_anonymous(&rules);
}

static void test_rules(void **state)
{
	const char *const methods[] = {"get", "put", "*", "list"};
	const struct tela_list subjects[] = {
		SUBJECTS("anonymous"), SUBJECTS("alice", "bob"), SUBJECTS("root"), SUBJECTS("*")};
	const struct tela_map allow = {4, methods, subjects}, all = {1, &methods[2], &subjects[3]};

	(void)state;
	assert_null(auth_rules_set(&rules, &allow));
	assert_true(may("get", "carol") && may("put", "bob") && may("put", "alice"));
	assert_true(may("put", "root") && may("other", "root") && may("list", "carol"));
	assert_false(may("put", "carol") || may("other", "alice") || may("pu", "bob"));
	assert_false(may("put", "al") || may("put", ""));
	assert_true(may_anybody("get"));
	assert_false(may_anybody("put") || may_anybody("list"));
	assert_null(auth_rules_set(&rules, &all));
	assert_true(may("x", "y"));
	assert_false(may_anybody("x"));
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = {"", "a b", "a,b", "a:b", "**", "a\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *const good = "a";
		const struct tela_list one = {1, &bad[i]}, fine = {1, &good};

		assert_ptr_equal(
			auth_rules_set(&rules, &(struct tela_map){1, &good, &one}), bad[i]);
		assert_ptr_equal(
			auth_rules_set(&rules, &(struct tela_map){1, &bad[i], &fine}), bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_bad_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
