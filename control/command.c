#include "command.h"

#include "stack.h"

/* clang-format off */
#define SERVICE	{"service", ARGUMENT_TEXT, true, true, "name of a service, as 'services' lists it"}
#define NAME	{"name", ARGUMENT_TEXT, true, true, "name in it, as 'chain show' lists it"}
#define OBJECT	{"object", ARGUMENT_TEXT, false, false, "shared object to load it from"}
#define CONFIG	{"config", ARGUMENT_CONFIG, false, false, "its configuration: key=value ..."}
#define WAIT	{"wait", ARGUMENT_FLAG, false, false, \
	"answer when what it has replaced has stopped too, or cannot: then within a second of the deadline"}
#define END	{NULL, ARGUMENT_TEXT, false, false, NULL}
/* clang-format on */

static const struct argument none[] = {END};
static const struct argument service_only[] = {SERVICE, END};
static const struct argument plugin_arguments[] = {
	{"plugin", ARGUMENT_TEXT, false, true, "its name; all are listed unless given"}, END};
static const struct argument reason_arguments[] = {SERVICE,
	{"reason", ARGUMENT_TEXT, false, false, "shown, and told to callers that are refused"},
	END};
static const struct argument drain_arguments[] = {SERVICE,
	{"deadline_ms", ARGUMENT_NUMBER, false, false,
		"what is left then is cancelled; drain_deadline_ms unless given"},
	{"poll", ARGUMENT_FLAG, false, false, "say how far it is, and begin nothing"},
	{"watch", ARGUMENT_FLAG, false, false,
		"say again and again how far it is, until it is done; one under way keeps its "
		"deadline, unless another is given"},
	END};
static const struct argument end_arguments[] = {
	{"watch", ARGUMENT_FLAG, false, false,
		"say again and again how far it is, until it is done"},
	END};
static const struct argument define_arguments[] = {
	{"definition", ARGUMENT_FILE, true, true,
		"a file that holds what stands below services: of a node's, in YAML or JSON; - for "
		"standard input"},
	END};
static const struct argument leave_arguments[] = {SERVICE,
	{"deadline_ms", ARGUMENT_NUMBER, false, false,
		"calls that are left then are cancelled; drain_deadline_ms unless given"},
	END};
static const struct argument add_arguments[] = {SERVICE,
	{"plugin", ARGUMENT_TEXT, true, true, "name of the plugin, as 'plugins' lists it"},
	{"as", ARGUMENT_TEXT, false, false, "another name for it, so that it may be there twice"},
	OBJECT,
	{"before", ARGUMENT_TEXT, false, false,
		"stand before that one, where no declared order says otherwise"},
	{"after", ARGUMENT_TEXT, false, false, "stand after that one, likewise; last unless given"},
	CONFIG, WAIT, END};
static const struct argument remove_arguments[] = {SERVICE, NAME, WAIT, END};
static const struct argument replace_arguments[] = {SERVICE, NAME, OBJECT,
	{"config", ARGUMENT_CONFIG, false, false,
		"put over its configuration: key=value ...; unset=key takes one out, null in JSON"},
	WAIT, END};
static const struct argument merge_arguments[] = {SERVICE,
	{"config", ARGUMENT_CONFIG, true, false,
		"NAME.KEY=value ... by names that 'chain show' lists; unset=NAME.KEY takes one "
		"out, null in JSON"},
	WAIT, END};
static const struct argument apply_arguments[] = {SERVICE,
	{"steps", ARGUMENT_LIST, true, false,
		"objects with op (add, remove, replace) and the arguments of that command: one "
		"image for all"},
	WAIT, END};
static const struct argument image_arguments[] = {SERVICE,
	{"from", ARGUMENT_NUMBER, false, false, "first generation"},
	{"to", ARGUMENT_NUMBER, false, false, "last generation"},
	{"limit", ARGUMENT_NUMBER, false, false,
		"at most so many, 1000 unless given, 10000 at most"},
	END};
static const struct argument registry_arguments[] = {
	{"prefix", ARGUMENT_TEXT, false, false, "only keys that begin so"},
	{"limit", ARGUMENT_NUMBER, false, false,
		"at most so many, 1000 unless given, 10000 at most"},
	END};
static const struct argument stats_arguments[] = {
	{"drops", ARGUMENT_FLAG, false, false, "drops only"},
	{"core", ARGUMENT_NUMBER, false, false, "of one core"},
	{"zero", ARGUMENT_FLAG, false, false, "what is zero as well"}, END};
static const struct argument latency_arguments[] = {
	{"of", ARGUMENT_TEXT, false, true, "SERVICE or SERVICE.METHOD; all unless given"},
	{"core", ARGUMENT_NUMBER, false, false, "on one core"}, END};
static const struct argument call_arguments[] = {SERVICE,
	{"method", ARGUMENT_TEXT, true, true, "name of the method, or its number"},
	{"payload", ARGUMENT_BYTES, false, true,
		"hexadecimal; in telactl also @FILE, or - for standard input"},
	{"node", ARGUMENT_TEXT, false, false, "a peer to call; this node itself unless given"},
	{"deadline_ms", ARGUMENT_NUMBER, false, false, "the method's own unless given"},
	{"schema", ARGUMENT_TEXT, false, false,
		"hash of the payload's schema: this node need not know it then, and the method is "
		"a number"},
	{"method_name", ARGUMENT_TEXT, false, false,
		"with schema=: what traces and figures shall call the method; its number unless "
		"given"},
	{"idempotent", ARGUMENT_FLAG, false, false, "with schema=: the method may run twice"},
	{"one_way", ARGUMENT_FLAG, false, false, "no reply, only whether the call was accepted"},
	{"trace", ARGUMENT_FLAG, false, false, "begin a sampled trace and say its id"},
	{"metadata", ARGUMENT_CONFIG, false, false, "texts by name that go with the call"},
	{"policy", ARGUMENT_TEXT, false, false,
		"mesh or malla: node= then names one or more, with commas between, . for this "
		"one"},
	{"balance", ARGUMENT_TEXT, false, false,
		"between them: round_robin, least, weighted or hash"},
	{"zone", ARGUMENT_TEXT, false, false,
		"those of it first, others when none of them can be asked"},
	{"hedge_us", ARGUMENT_NUMBER, false, false,
		"ask another one too after so long, where the method may run twice"},
	{"all", ARGUMENT_FLAG, false, false, "call each of them, and show what each says"},
	{"quorum", ARGUMENT_NUMBER, false, false,
		"with all=: when so many are OK, the rest are cancelled"},
	{"wait", ARGUMENT_FLAG, false, false, "for one of them, until the deadline"},
	{"fail_fast", ARGUMENT_FLAG, false, false, "when none of them takes it at once"}, END};
static const struct argument trace_arguments[] = {
	{"trace", ARGUMENT_TEXT, false, true,
		"its id, or how that begins; the latest are listed unless given"},
	{"limit", ARGUMENT_NUMBER, false, false, "list at most so many, 50 unless given"}, END};
static const struct argument schema_arguments[] = {
	{"service", ARGUMENT_TEXT, false, true, "as the list has it; all are listed unless given"},
	{"node", ARGUMENT_TEXT, false, false, "a peer to ask; this node itself unless given"}, END};
static const struct argument fault_arguments[] = {
	{"port", ARGUMENT_NUMBER, true, true, "number of the port, as 'status' lists them, from 0"},
	{"loss_ppm", ARGUMENT_NUMBER, false, false, "frames lost, in a million"},
	{"duplicate_ppm", ARGUMENT_NUMBER, false, false, "frames sent twice, in a million"},
	{"reorder_ppm", ARGUMENT_NUMBER, false, false, "frames held back, in a million"}, END};
static const struct argument limit_arguments[] = {
	{"window", ARGUMENT_NUMBER, false, false,
		"fragments of a message that its sender may be ahead, 32 to 960"},
	{"slots_per_session", ARGUMENT_NUMBER, false, false,
		"calls at once that a session may have, 8 to 2048 in blocks of 8"},
	END};
static const struct argument weight_arguments[] = {SERVICE,
	{"weight", ARGUMENT_NUMBER, false, true, "1 to 1000000; until the node ends"}, END};
static const struct argument level_arguments[] = {
	{"level", ARGUMENT_TEXT, false, true,
		"error, warn, info or debug; shows the level unless given"},
	{"service", ARGUMENT_TEXT, false, false,
		"of its lines alone; level node: again as the node's own"},
	END};

const struct command commands[] = {
	{"status", "the node, its cores, ports and peers", NULL, none, cmd_status},
	{"cores", "the data cores: how busy, what they serve, and how frames reach them", NULL,
		none, cmd_cores},
	{"services", "what this node serves, and how it is", NULL, none, cmd_services},
	{"discovery", "services that this node and its peers announce, and how they are", NULL,
		none, cmd_discovery},
	{"forwards", "services that calls of client processes are sent on for, and to which peers",
		NULL, none, cmd_forwards},
	{"plugins",
		"every plugin that is linked in or loaded, or the keys that one can be told, with "
		"types and defaults",
		"log", plugin_arguments, cmd_plugins},
	{"chain.show", "the plugins of a service in call order", "echo", service_only,
		cmd_chain_show},
	{"chain.add", "add a plugin to a running service", "echo counter as=second limit=5",
		add_arguments, cmd_chain_add},
	{"chain.remove", "take a plugin out", "echo second", remove_arguments, cmd_chain_remove},
	{"chain.replace", "a new instance in the same place: another build, another configuration",
		"echo counter object=./counter2.so", replace_arguments, cmd_chain_replace},
	{"chain.apply", "several steps in one image, all or none", NULL, apply_arguments,
		cmd_chain_apply},
	{"config.show",
		"the configuration of a service: below each name its keys, with types and "
		"defaults",
		"echo", service_only, cmd_config_show},
	{"config.merge",
		"put keys over it, for several plugins at once: what changes gets a new instance, "
		"all or none",
		"echo echo.queue=512 log.rate=100", merge_arguments, cmd_config_merge},
	{"images",
		"images of a service: current, retiring and retired, with the calls each has "
		"served",
		"echo from=100 to=200", image_arguments, cmd_images},
	{"registry",
		"names that plugins of this node have registered, and bags, with who holds them",
		"prefix=cache.", registry_arguments, cmd_registry},
	{"stats", "every counter and drop by name, and what plugins count", "drops=true",
		stats_arguments, cmd_stats},
	{"latency",
		"where the time of calls goes, by method, as caller and as callee: queue, handler, "
		"network",
		"echo.echo", latency_arguments, cmd_latency},
	{"failures", "calls that did not end well, by method, code and reason, on either side",
		NULL, none, cmd_failures},
	{"trace", "the latest sampled traces, or one as a tree of its spans", "4bf92f35",
		trace_arguments, cmd_trace},
	{"schema", "the schemas that callers need: which there are, or one in binary form",
		"echo.Echo node=bench", schema_arguments, cmd_schema},
	{"call",
		"call a method with a payload of bytes: in telactl call --raw, for call itself is "
		"by schema",
		"--raw echo echo payload=@request.bin node=bench", call_arguments, cmd_call},
	{"service.pause",
		"refuse new calls (surely not executed); calls under way and workers go on",
		"echo reason=upgrade", reason_arguments, cmd_service_pause},
	{"service.activate", "take calls: resume a paused service, start any other", "echo",
		reason_arguments, cmd_service_activate},
	{"service.deactivate", "refuse calls, wait for those under way, stop every plugin", "echo",
		reason_arguments, cmd_service_deactivate},
	{"service.drain",
		"send its callers elsewhere, pause it, and wait until nothing is in flight and "
		"every plugin agrees",
		"echo deadline_ms=30000", drain_arguments, cmd_service_drain},
	{"service.weight",
		"show or set what peers are told: of the calls of one of weight 1, so many times "
		"more",
		"echo 3", weight_arguments, cmd_service_weight},
	{"service.add", "add a service to the node while it runs; not to its configuration file",
		"shout.yaml", define_arguments, cmd_service_add},
	{"service.remove",
		"drain a service, stop it, and take it and all it has stored out of the node",
		"shout deadline_ms=1000", leave_arguments, cmd_service_remove},
	{"drain", "stop accepting, finish what is in flight, end: as SIGTERM does", NULL,
		end_arguments, cmd_drain},
	{"faults",
		"lose, double or reorder what this node sends on a port, on purpose; nothing "
		"given: no more",
		"0 loss_ppm=1000 duplicate_ppm=1000", fault_arguments, cmd_faults},
	{"limits",
		"show or set what sessions are granted from now on; what they have stays until "
		"they give it back",
		"window=128 slots_per_session=64", limit_arguments, cmd_limits},
	{"log.level", "show or set the least important level that is logged", "debug service=echo",
		level_arguments, cmd_log_level},
	{"commands", "this list", NULL, none, cmd_commands},
	{NULL},
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

struct stack *command_service(struct control *c, struct request *r)
{
	const char *name = request_text(r, "service");
	struct stack *s = stack_find(c, name);
	char names[512] = "";
	size_t n = 0;

	if (s && s->leaving.step >= LEAVING_NODE) { /* nothing may be begun that refers to it */
		request_fail(r, -EBUSY, "service %s is being removed", s->name);
		return NULL;
	}
	if (s)
		return s;
	for (s = c->stacks; s && n < sizeof(names); s = s->next)
		n += snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", s->name);
	request_fail(
		r, -ENOENT, "no service is named '%.64s'; there are %s", name, n ? names : "none");
	return NULL;
}
