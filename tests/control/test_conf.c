/* test_conf.c - a configuration that is right, and every way to be wrong with its exact line and
 * key. */
#include "../../control/conf.h"

#include "../../dataplane/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char errors[8192];
static int n_errors;

static void report(void *arg, const char *line)
{
	(void)arg;
	n_errors++;
	snprintf(errors + strlen(errors), sizeof(errors) - strlen(errors), "%s\n", line);
}

static struct conf *parse(const char *text)
{
	errors[0] = 0;
	n_errors = 0;
	return conf_parse("n.yaml", text, strlen(text), report, NULL);
}

#define HEAD "node: {name: n}\ncores: [{cpu: 0}]\n"

static void test_smallest(void **state)
{
	struct conf *c = parse(HEAD);

	assert_non_null(c);
	assert_string_equal(c->node.name, "n");
	assert_string_equal(c->admin, "/run/tela/n.sock");
	assert_int_equal(c->node.udp_port, TELA_UDP_PORT);
	assert_int_equal(c->node.memory_mib, 256);
	assert_int_equal(c->node.peer_silence_us, 5000);
	assert_int_equal(c->drain_deadline_ms, 5000);
	assert_int_equal(c->hook_deadline_ms, 5000);
	assert_int_equal(c->node.n_cores, 1);
	assert_int_equal(c->node.cores[0].idle, TELA_IDLE_AUTO);
	assert_int_equal(c->node.n_ports + c->node.n_peers + c->n_services, 0);
	conf_free(c);
}

static void test_everything(void **state)
{
	struct conf *c = parse("node:\n"
			       "  {name: server, udp_port: 7000, huge_pages: false, memory_mib: "
			       "64, admin: /tmp/x.sock,\n"
			       "   drain_deadline_ms: 1, share_cpu: true, peer_silence_ms: 7, "
			       "hook_deadline_ms: 9, file_prefix: p,\n"
			       "   log: {level: debug, format: json}}\n"
			       "budgets: {calls: 17, messages_1m: 3, owner: team-a}\n"
			       "ports:\n"
			       "  - {name: mem0, device: \"net_memif0,role=server\", address: "
			       "10.77.0.1/24, gateway: 10.77.0.9, mtu: 1280,\n"
			       "     faults: {loss: 0.25, duplicate: 1, reorder: 1e-3, seed: "
			       "18446744073709551615}}\n"
			       "cores:\n"
			       "  - {cpu: 3, idle: adaptive}\n"
			       "  - {cpu: 1, idle: spin, pause_ms: 30}\n"
			       "peers:\n"
			       "  - {name: bench, address: \"10.77.0.2:99\"}\n"
			       "services:\n"
			       "  - name: echo\n"
			       "    object: optional.so\n"
			       "    config: {b: 2, a: {z: 1, y: {x: text}}}\n"
			       "    plugins:\n"
			       "      - {plugin: counter, as: c1}\n"
			       "      - plugin: counter\n"
			       "        config:\n"
			       "          key: \"\"\n");

	assert_string_equal(errors, "");
	assert_non_null(c);
	assert_int_equal(c->huge, CONF_HUGE_FALSE);
	assert_true(c->node.share_cpu);
	assert_int_equal(c->node.budgets.calls, 17);
	assert_string_equal(c->node.budgets_owner, "team-a");
	assert_int_equal(c->node.budgets.messages_1m, 3);
	assert_int_equal(c->node.budgets.slots, 0);
	assert_true(c->node.ports[0].loss == 0.25 && c->node.ports[0].reorder == 1e-3);
	assert_true(c->node.ports[0].fault_seed == UINT64_MAX);
	assert_int_equal(c->node.cores[0].cpu, 3);
	assert_int_equal(c->node.peer_silence_us, 7000);
	assert_int_equal(c->node.cores[0].pause_ms, 0);
	assert_int_equal(c->node.cores[1].idle, TELA_IDLE_SPIN);
	assert_int_equal(c->node.cores[1].pause_ms, 30);
	assert_string_equal(c->node.peers[0].address, "10.77.0.2:99");
	assert_string_equal(tela_config_str(&c->services[0].config.pairs, "a.y.x", "?"), "text");
	assert_string_equal(tela_config_str(&c->services[0].config.pairs, "b", "?"), "2");
	assert_int_equal(c->services[0].config.pairs.n, 3);
	assert_string_equal(c->services[0].plugins[0].as, "c1");
	assert_string_equal(c->services[0].plugins[1].config.pairs.pairs[0].value, "");
	assert_int_equal(c->services[0].line, 15);
	assert_int_equal(c->services[0].plugins[1].line, 20);
	conf_free(c);
}

/* One error each; the text is all that is reported. */
static const struct wrong {
	const char *text, *error;
} wrong[] = {
	{"", "n.yaml:1: is empty; see telad --help config\n"},
	{"[]", "n.yaml:1: expected a mapping, found a list\n"},
	{"cores: [{cpu: 0}]\n", "n.yaml:1: 'node' is missing (the node itself)\n"},
	{"node: {name: n}\n", "n.yaml:1: 'cores' is missing (data cores)\n"},
	{"node: {}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node: 'name' is missing (of this node in the mesh)\n"},
	{"node: {name: n}\ncores: []\n", "n.yaml:2: cores: expected a list of 1..64, found 0\n"},
	{"node: {name: n}\ncores: 3\n", "n.yaml:2: cores: expected a list, found '3'\n"},
	{"node: {name: n}\ncores: [3]\n", "n.yaml:2: cores[0]: expected a mapping, found '3'\n"},
	{"node: {name: n}\ncores: [{}]\n", "n.yaml:2: cores[0]: 'cpu' is missing (the CPU that "
					   "this data core has to itself)\n"},
	{"node: {name: n}\ncores: [{cpu: 0}, {cpu: 1}, {cpu: 0}]\n",
		"n.yaml:2: cores[2].cpu: '0' is already taken on line 2\n"},
	{"node: {name: n}\ncores: [{cpu: -1}]\n",
		"n.yaml:2: cores[0].cpu: expected 0..4095, found '-1'\n"},
	{"node: {name: n}\ncores: [{cpu: 0, idle: lazy}]\n",
		"n.yaml:2: cores[0].idle: expected one of auto, spin, adaptive, interrupt, found "
		"'lazy'\n"},
	{HEAD "prots: []\n", "n.yaml:3: unknown key 'prots'; known are node, budgets, ports, "
			     "cores, peers, services\n"},
	{HEAD "peers:\n- {name: a, address: 1.2.3.4}\n- {name: a, address: 1.2.3.5}\n",
		"n.yaml:5: peers[1].name: 'a' is already taken on line 4\n"},
	{HEAD "peers:\n- {name: a, address: 1.2.3}\n",
		"n.yaml:4: peers[0].address: expected an address such as 10.0.0.2 or "
		"10.0.0.2:7447, found '1.2.3'\n"},
	{HEAD "peers:\n- {name: a, address: \"1.2.3.4:0\"}\n",
		"n.yaml:4: peers[0].address: expected an address such as 10.0.0.2 or "
		"10.0.0.2:7447, found '1.2.3.4:0'\n"},
	{HEAD "ports:\n- name: p\n  device: d\n  address: 1.2.3.4/24\n  mtu: abc\n",
		"n.yaml:7: ports[0].mtu: expected 1280..9000, found 'abc'\n"},
	{HEAD "ports:\n- name: p\n  device: d\n  address: 1.2.3.4/24\n  mtu: 9001\n",
		"n.yaml:7: ports[0].mtu: expected 1280..9000, found '9001'\n"},
	{HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4}\n",
		"n.yaml:4: ports[0].address: expected an address with its prefix, such as "
		"10.0.0.1/24, found '1.2.3.4'\n"},
	{HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4/33}\n",
		"n.yaml:4: ports[0].address: expected an address with its prefix, such as "
		"10.0.0.1/24, found '1.2.3.4/33'\n"},
	{HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4/8, faults: {loss: 1.5}}\n",
		"n.yaml:4: ports[0].faults.loss: expected a probability, 0.0 to 1.0, found "
		"'1.5'\n"},
	{HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4/8, faults: {loss: nan}}\n",
		"n.yaml:4: ports[0].faults.loss: expected a probability, 0.0 to 1.0, found "
		"'nan'\n"},
	{HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4/8, faults: 3}\n",
		"n.yaml:4: ports[0].faults: expected a mapping, found '3'\n"},
	{HEAD "budgets: {calls: 0}\n", "n.yaml:3: budgets.calls: expected 1..4194304, found '0'\n"},
	{HEAD "budgets: {calls: [1]}\n",
		"n.yaml:3: budgets.calls: expected one value, found a list\n"},
	{HEAD "services:\n- name: echo\n- name: echo\n",
		"n.yaml:5: services[1].name: 'echo' is already taken on line 4\n"},
	{HEAD "services:\n- name: \"a b\"\n", "n.yaml:4: services[0].name: expected a name of "
					      "letters, digits, '_', '.' and '-', found 'a b'\n"},
	{HEAD "services:\n- name: echo\n  plugins:\n  - plugin: a\n  - {plugin: b, as: a}\n",
		"n.yaml:7: services[0].plugins[1].as: 'a' is already there (line 6); name this one "
		"with 'as:'\n"},
	{HEAD "services:\n- name: echo\n  plugins: [{plugin: echo}]\n",
		"n.yaml:5: services[0].plugins[0].plugin: 'echo' is already there (line 4); name "
		"this one with 'as:'\n"},
	{HEAD "services:\n- name: echo\n  plugins: [{as: x}]\n",
		"n.yaml:5: services[0].plugins[0]: 'plugin' is missing (name of the plugin)\n"},
	{HEAD "services:\n- name: echo\n  config: 3\n",
		"n.yaml:5: services[0].config: expected a mapping, found '3'\n"},
	{HEAD "services:\n- name: echo\n  config:\n    a: [1, {b: 2}]\n",
		"n.yaml:6: services[0].config.a[1]: expected a value, found a mapping\n"},
	{HEAD "services:\n- name: echo\n  config:\n    a: [1, '']\n",
		"n.yaml:6: services[0].config.a[1]: expected a value, found nothing\n"},
	{HEAD "services:\n- name: echo\n  config:\n    a: \"x\\x1fy\"\n",
		"n.yaml:6: services[0].config.a: a value may not hold the byte 0x1f\n"},
	{HEAD "services:\n- name: echo\n  config:\n    a: [\"\\0\"]\n",
		"n.yaml:6: services[0].config.a[0]: a value may not hold a zero byte\n"},
	{HEAD "services:\n- name: echo\n  config: {a: {b: 1}, a.b: 2}\n",
		"n.yaml:5: services[0].config: key 'a.b' is there twice\n"},
	{HEAD "services:\n- name: echo\n  config: {a: 1, a: 2}\n",
		"n.yaml:5: services[0].config: key 'a' is there twice\n"},
	{"node: {name: n, name: m}\ncores: [{cpu: 0}]\n", "n.yaml:1: node.name: is there twice\n"},
	{"node: {name: n, share_cpu: maybe}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.share_cpu: expected true or false, found 'maybe'\n"},
	{"node: {name: n, udp_port: 65536}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.udp_port: expected 1..65535, found '65536'\n"},
	{"node: {name: n, udp_port: 18446744073709551617}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.udp_port: expected 1..65535, found '18446744073709551617'\n"},
	{"node: {name: n, udp_port: ' 7'}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.udp_port: expected 1..65535, found ' 7'\n"},
	{"node: {name: n, admin: [a]}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.admin: expected text, found a list\n"},
	{"node: {name: \"a\\0b\"}\ncores: [{cpu: 0}]\n",
		"n.yaml:1: node.name: expected text, found 'a'\n"},
	{HEAD "---\nnode: {}\n", "n.yaml:4: a second document; there may be one\n"},
	{"node: {name: n\ncores: 3\n", "n.yaml:2: not YAML: did not find expected ',' or '}', "
				       "while parsing a flow mapping\n"},
	{"node:\n\tname: n\n", "n.yaml:2: not YAML: found character that cannot start any token, "
			       "while scanning for the next token\n"},
	{"node: *none\n", "n.yaml:1: not YAML: found undefined alias\n"},
};

static void test_wrong(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_null(parse(wrong[i].text));
		assert_string_equal(errors, wrong[i].error);
	}
}

static void test_all_errors_at_once(void **state)
{
	assert_null(parse("node: {name: n, udp_port: x, shoe: 1}\ncores: [{cpu: y}]\n"));
	assert_int_equal(n_errors, 3);
}

static void test_empty_values_are_as_if_not_there(void **state)
{
	struct conf *c = parse(HEAD "ports:\n- {name: p, device: d, address: 1.2.3.4/8, gateway: , "
				    "mtu: }\npeers:\nservices:\n");

	assert_string_equal(errors, "");
	assert_null(c->node.ports[0].gateway);
	assert_int_equal(c->node.ports[0].mtu, 0);
	conf_free(c);
}

/* Anchors make endless and exponential documents. Both must end, with an error. */
static void test_bombs(void **state)
{
	char text[4096] = HEAD "services:\n- name: e\n  config:\n    l0: &l0 {a: 1}\n";

	for (int i = 1; i < 12; i++)
		sprintf(text + strlen(text), "    l%d: &l%d {a: *l%d, b: *l%d, c: *l%d, d: *l%d}\n",
			i, i, i - 1, i - 1, i - 1, i - 1);
	assert_null(parse(text));
	assert_non_null(strstr(errors, "too large"));
	assert_null(parse(HEAD "services:\n- name: e\n  config: &c {a: *c}\n"));
	assert_non_null(strstr(errors, "nested too deeply"));
}

static void test_garbage(void **state)
{
	static char text[600];
	uint64_t x = 88172645463325252ull;

	for (int round = 0; round < 3000; round++) {
		size_t len = 0;

		strcpy(text, HEAD "ports:\n- {name: p, device: d, address: "
				  "1.2.3.4/8}\nservices:\n- name: e\n  config: {a: 1}\n");
		len = strlen(text);
		for (int i = 0; i < 6; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			text[x % len] = "{}[]:,-&*!|>'\"%@`#\n\t a1"[(x >> 32) % 23];
		}
		errors[0] = 0;
		n_errors = 0;
		conf_free(conf_parse("n.yaml", text, len, report, NULL));
		conf_free(conf_parse_service("s.yaml", text, len, NULL, report, NULL));
	}
}

static struct conf *parse_service(const char *text)
{
	errors[0] = 0;
	n_errors = 0;
	return conf_parse_service("s.yaml", text, strlen(text), "/a/b", report, NULL);
}

static void test_one_service(void **state)
{
	struct conf *c = parse_service("\nname: echo\nobject: echo.so\nplugins:\n  - {plugin: a, "
				       "object: /b/a.so, config: {x: {y: 1}}}\n");

	(void)state;
	assert_non_null(c);
	assert_true(c->alone);
	assert_int_equal(c->n_services, 1);
	assert_int_equal(c->services->line, 2);
	assert_true(c->services->global && c->services->weight == 1);
	assert_string_equal(c->services->plugins[0].config.pairs.pairs[0].key, "x.y");
	assert_string_equal(c->services->object, "/a/b/echo.so");
	assert_string_equal(c->services->plugins[0].object, "/b/a.so");
	conf_free(c);
	assert_null(parse_service("name: a\nplugins:\n- plugin: a\n- {plugin: b, as: c, x: 1}\n"
				  "- plugin: c\nnode: {}\n"));
	assert_int_equal(n_errors, 4);
	assert_non_null(strstr(errors, "s.yaml:4: plugins[1]: unknown key 'x'"));
	assert_non_null(strstr(errors, "s.yaml:3: plugins[0].plugin: 'a' is already there"));
	assert_non_null(strstr(errors, "s.yaml:5: plugins[2].plugin: 'c' is already there"));
	assert_non_null(strstr(errors, "s.yaml:6: unknown key 'node'"));
}

/* Lists are told from texts, and each pair knows its line. */
static void test_lists_and_lines(void **state)
{
	struct conf *c = parse(HEAD "services:\n- name: e\n  config:\n    z: [a, 'b,c', 3]\n"
				    "    m: {y: [], x: '[a, b]'}\n    a: 1\n");
	const uint32_t lines[] = {8, 7, 7, 6};
	const struct conf_free *config;

	(void)state;
	assert_non_null(c);
	config = &c->services[0].config;
	assert_int_equal(config->pairs.n, 4);
	assert_string_equal(tela_config_str(&config->pairs, "z", "?"), "\x1f"
								       "a\x1f"
								       "b,c\x1f"
								       "3");
	assert_string_equal(tela_config_str(&config->pairs, "m.y", "?"), "\x1f");
	assert_string_equal(tela_config_str(&config->pairs, "m.x", "?"), "[a, b]");
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(config->lines[i], lines[i]);
	conf_free(c);
}

/* A long text that many names stand for would fill the memory. */
static void test_repeated(void **state)
{
	size_t size = 200000, n;
	char *text = malloc(size + 100000);

	(void)state;
	n = (size_t)sprintf(text, HEAD "services:\n- name: e\n  config:\n    a: &a %0*d\n    l: [",
		(int)size, 7);
	for (int i = 0; i < 4000; i++)
		n += (size_t)sprintf(text + n, "*a,");
	sprintf(text + n, "]\n");
	assert_null(parse(text));
	assert_non_null(strstr(errors, "config.l: nested too deeply, or too large"));
	free(text);
}

static void test_no_file(void **state)
{
	errors[0] = 0;
	assert_null(conf_load("/nonexistent/n.yaml", report, NULL));
	assert_string_equal(
		errors, "/nonexistent/n.yaml: cannot be read: No such file or directory\n");
	errors[0] = 0;
	assert_null(conf_load("/", report, NULL));
	assert_string_equal(errors, "/: cannot be read: Is a directory\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_all_errors_at_once),
		cmocka_unit_test(test_empty_values_are_as_if_not_there),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_one_service),
		cmocka_unit_test(test_lists_and_lines),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
